import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { TokenEvent } from '../../shared/protocol/token-event.ts';
import type { Exchange } from '../exchange/exchange.ts';
import type { ExchangeError } from '../exchange/link.ts';
import { SwitchableExchange } from '../exchange/switchable-exchange.ts';
import { openModel } from '../runtime/open-model.ts';
import { loadTokenizer } from '../tokenizer/load-tokenizer.ts';
import { Engine } from './engine.ts';
import { unavailable } from './failure.ts';
import { ForwardPass } from './forward-pass.ts';
import { Interruption, isBehind, lossOf } from './interruption.ts';
import { openAttention } from './open-attention.ts';
import { exchangeOpener } from './open-exchange.ts';
import { PrefixCache } from './prefix-cache.ts';
import { SequenceFactory } from './sequence-factory.ts';
import {
  type AttentionCommand,
  type AttentionReport,
  type AttentionWorkerData,
  type EndedSequence,
  type ExpertSource,
  placementVersionOf,
} from './worker-protocol.ts';

/**
 * Thread of one attention instance. Compute blocks the thread, so commands are read by hand between steps; only while
 * there is nothing to do, or an answer comes from another host, does the event loop run.
 */
const data = workerData as AttentionWorkerData;
const port = parentPort!;
const say = (report: AttentionReport): void => port.postMessage(report);

let events: [string, TokenEvent][] = [];
let ended: EndedSequence[] = [];
const inbox: AttentionCommand[] = [];
let wake: (() => void) | undefined;
const interruption = new Interruption();

interface Loaded {
  readonly engine: Engine;
  readonly exchange: SwitchableExchange;
  readonly open: (experts: ExpertSource) => Exchange;
}

function load(): Loaded {
  const model = openModel(data.model);
  const { config } = model;
  const tokenizer = loadTokenizer(data.model.folder, config.vocabularySize);
  const attention = openAttention(data, model);
  const { cache } = attention;
  const open = exchangeOpener(data, model);
  const exchange = new SwitchableExchange(open(data.experts));
  model.close();
  const { prefixCacheBytes: maxBytes } = data.limits;
  // ONNX Runtime multiplies a single row in another order than several.
  const exactSingleRows = data.kernels?.computes != null;
  const engine = new Engine({
    factory: new SequenceFactory(config, tokenizer),
    cache,
    ...(maxBytes > 0 && { prefixCache: new PrefixCache({ cache, maxBytes, exactSingleRows }) }),
    forwardPass: new ForwardPass(config, attention.model, cache, exchange),
    limits: data.limits,
    survivesInterruptions: data.experts.kind !== 'monolith',
    listener: {
      event: (requestId, event) => events.push([requestId, event]),
      ended: (requestId, choice, outcome) => ended.push({ requestId, choice, outcome }),
    },
  });
  return { engine, exchange, open };
}

function report(engine: Engine, exchange: Exchange): void {
  const { slotsInUse, waiting, prefixCache, phases, pace } = engine;
  const { statistics: links, counters } = exchange;
  const { steps, totalsMs } = phases;
  const statistics = {
    slotsInUse,
    waiting,
    prefixCache,
    links,
    exchange: counters,
    steps,
    phasesMs: [...totalsMs],
    pace,
  };
  say({ kind: 'progress', events, ended, statistics, saidAtMs: Date.now() });
  events = [];
  ended = [];
}

/** Commands that the event loop delivered, then those that still lie in the port. */
function nextCommand(): AttentionCommand | undefined {
  return inbox.shift() ?? (receiveMessageOnPort(port)?.message as AttentionCommand | undefined);
}

/** Resolves when a command comes, or after a while. */
async function waitForCommand(limitMs?: number): Promise<void> {
  if (inbox.length > 0) return;
  await new Promise<void>((resolve) => {
    const timer = limitMs === undefined ? undefined : setTimeout(resolve, limitMs);
    wake = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}

async function step(engine: Engine, exchange: Exchange): Promise<ExchangeError | undefined> {
  exchange.setActive?.(true);
  exchange.beginStep?.();
  try {
    return await engine.step();
  } finally {
    exchange.endStep?.();
  }
}

/** Pauses until a step that came to nothing is to be tried again; its sequences fail when that has gone on for too long. */
async function outlive({ engine, exchange }: Loaded, error: ExchangeError, version: number): Promise<void> {
  const pauseMs = interruption.pauseAfter(error, performance.now());
  if (pauseMs === null) {
    interruption.end();
    return engine.giveUp(error);
  }
  if (!isBehind(error)) say({ kind: 'interrupted', version, loss: lossOf(error), message: error.message });
  exchange.setActive?.(false);
  await waitForCommand(pauseMs);
}

async function serve(loaded: Loaded): Promise<void> {
  const { engine, exchange, open } = loaded;
  const steps = new Int32Array(data.stepCounter);
  let version = placementVersionOf(data.experts);
  for (;;) {
    for (let command = nextCommand(); command !== undefined; command = nextCommand()) {
      if (command.kind === 'stop') {
        engine.failAll(unavailable('This attention host is stopping; send the request again.'));
        exchange.setActive?.(false);
        return report(engine, exchange);
      }
      if (command.kind === 'crash') throw new Error('it was told to crash');
      if (command.kind === 'submit') engine.submit(command.job, command.emitted);
      else if (command.kind === 'cancel') engine.cancel(command.requestId, command.choice);
      else {
        await exchange.switchTo(open(command.experts));
        version = command.experts.placement.version;
        say({ kind: 'placed', version });
      }
    }
    if (!engine.idle) {
      const interrupted = await step(engine, exchange);
      if (interrupted === undefined) interruption.end();
      else await outlive(loaded, interrupted, version);
      Atomics.add(steps, 0, 1);
    }
    if (events.length > 0 || ended.length > 0) {
      report(engine, exchange);
      engine.phases.end('publish');
    }
    if (!engine.idle || inbox.length > 0) continue;
    exchange.setActive?.(false);
    await waitForCommand();
    engine.phases.resume();
  }
}

port.on('message', (command: AttentionCommand) => {
  inbox.push(command);
  wake?.();
});
try {
  const startedAt = performance.now();
  const loaded = load();
  const { engine, exchange } = loaded;
  // Before it counts as ready, so that the first record of a ready instance tells of its prefix cache.
  report(engine, exchange);
  say({ kind: 'ready', loadMs: performance.now() - startedAt });
  await serve(loaded);
  await exchange.close();
} catch (error) {
  say({ kind: 'failed', message: error instanceof Error ? error.message : String(error) });
}
port.close();
