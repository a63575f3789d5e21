import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { HostRound } from '../../../gpu-pool/exchange/host-round.ts';
import { ExchangeError, isInterruption } from '../../../gpu-pool/exchange/link.ts';
import { RoundExchange, RoundRows } from '../../../gpu-pool/exchange/round-exchange.ts';
import { seededRandom } from '../../../shared/placement/seeded-random.ts';
import { DoublingExchange } from './doubling-exchange.ts';
import type { Play, Played, RoundCommand, RoundReply, RoundThreadData } from './round-threads.ts';
import { ROUND_SHAPE } from './round-threads.ts';

/** Thread of one attention instance without a model: it does what it is told, one command after the other. */
const { memory, rows, index } = workerData as RoundThreadData;
const port = parentPort!;
const together = { ...ROUND_SHAPE, maxRows: ROUND_SHAPE.maxRows * rows.length };
const inner = new DoublingExchange(together);
const views = rows.map((buffer) => new RoundRows(ROUND_SHAPE, buffer));
const round = new HostRound(memory, index);
const exchange = new RoundExchange(round, index, views, inner, ROUND_SHAPE, together.maxRows);

/** A clock that all threads share. */
const clockMs = (): number => Number(process.hrtime.bigint()) / 1e6;

/** Sends `count` rows; fails unless exactly their own output comes back. */
async function runLayer(layer: number, count: number, mark: number, random: () => number): Promise<void> {
  const { hiddenSize, expertsPerToken } = ROUND_SHAPE;
  const { step } = exchange;
  const expected: number[] = [];
  for (let row = 0; row < count; row++) {
    step.hidden.set([layer, mark, random()], row * hiddenSize);
    step.expertIds.set([index, row], row * expertsPerToken);
    step.gateWeights.set([random(), random()], row * expertsPerToken);
  }
  for (let row = 0; row < count; row++) {
    for (let i = 0; i < hiddenSize; i++) expected.push(inner.valueOf(step, row, i));
  }
  const output = new Float32Array(ROUND_SHAPE.maxRows * hiddenSize).fill(-1);
  inner.senders = [];
  await exchange.run(layer, count, output);
  const wrong = output.findIndex((value, i) => value !== (expected[i] ?? -1));
  if (wrong >= 0) throw new Error(`instance ${index}, layer ${layer}: element ${wrong} is ${output[wrong]}`);
}

/** Steps at random: pauses, idles, fails, and leaves rounds early. Checks all that it gets. */
async function play({ seed, steps, layers, pauses }: Play): Promise<Played> {
  const random = seededRandom(seed);
  const pause = async (share: number, longestMs: number) => {
    if (pauses && random() < share) await sleep(random() * longestMs);
  };
  const played: Played = { layerSteps: 0, failures: 0, sizes: [] };
  for (let step = 0; step < steps; step++) {
    if (pauses && random() < 0.1) {
      exchange.setActive(false);
      await sleep(random() * 20);
    }
    exchange.setActive(true);
    await pause(0.3, 4);
    exchange.beginStep();
    const failsAt = random() < 0.05 ? Math.floor(random() * layers) : -1;
    const leavesAt = random() < 0.05 ? Math.floor(random() * layers) : -1;
    for (let layer = 0; layer < layers && layer !== leavesAt; layer++) {
      await pause(0.05, 2);
      try {
        await runLayer(
          layer,
          Math.floor(random() * (ROUND_SHAPE.maxRows + 1)),
          Number(layer === failsAt),
          random,
        );
      } catch (error) {
        if (!(error instanceof ExchangeError)) throw error;
        played.failures++;
        break;
      }
      played.layerSteps++;
      if (inner.senders.length > 0) played.sizes.push(inner.senders.length);
    }
    exchange.endStep();
  }
  exchange.setActive(false);
  return played;
}

async function obey(command: RoundCommand): Promise<unknown> {
  switch (command.kind) {
    case 'active':
      return exchange.setActive(command.active);
    case 'begin': {
      port.postMessage({ joins: true } satisfies RoundReply);
      const startedAtMs = clockMs();
      exchange.beginStep();
      const begunAtMs = clockMs();
      return { waitedMs: begunAtMs - startedAtMs, begunAtMs };
    }
    case 'run':
      await runLayer(command.layer, command.rows, command.mark, seededRandom(command.layer));
      return inner.senders;
    case 'end': {
      const endedAtMs = clockMs();
      exchange.endStep();
      return endedAtMs;
    }
    case 'play':
      return play(command);
    case 'toggle':
      for (let i = 0; ; i++) exchange.setActive(i % 2 === 0);
  }
}

let before = Promise.resolve();
port.on('message', (command: RoundCommand) => {
  before = before.then(async () => {
    const reply: RoundReply = await obey(command).then(
      (value) => ({ value }),
      (error) => ({
        error: {
          isExchangeError: error instanceof ExchangeError,
          isInterruption: isInterruption(error),
          message: error.message,
        },
      }),
    );
    port.postMessage(reply);
  });
});
port.postMessage({ value: 'ready' });
