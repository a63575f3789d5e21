import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { TokenEvent } from '../../shared/protocol/token-event.ts';
import type { Exchange } from '../exchange/exchange.ts';
import { openModel } from '../runtime/open-model.ts';
import { loadTokenizer } from '../tokenizer/load-tokenizer.ts';
import { Engine } from './engine.ts';
import { unavailable } from './failure.ts';
import { ForwardPass } from './forward-pass.ts';
import { openAttention } from './open-attention.ts';
import { openExchange } from './open-exchange.ts';
import { PrefixCache } from './prefix-cache.ts';
import { SequenceFactory } from './sequence-factory.ts';
import type {
  AttentionCommand,
  AttentionReport,
  AttentionWorkerData,
  EndedSequence,
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

function load(): { engine: Engine; exchange: Exchange } {
  const model = openModel(data.model);
  const { config } = model;
  const tokenizer = loadTokenizer(data.model.folder, config.vocabularySize);
  const attention = openAttention(data, model);
  const { cache } = attention;
  const exchange = openExchange(data, model);
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
    listener: {
      event: (requestId, event) => events.push([requestId, event]),
      ended: (requestId, choice, outcome) => ended.push({ requestId, choice, outcome }),
    },
  });
  return { engine, exchange };
}

function report(engine: Engine, exchange: Exchange): void {
  const { slotsInUse, waiting, prefixCache, phases } = engine;
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
  };
  say({ kind: 'progress', events, ended, statistics, saidAtMs: Date.now() });
  events = [];
  ended = [];
}

/** Commands that the event loop delivered, then those that still lie in the port. */
function nextCommand(): AttentionCommand | undefined {
  return inbox.shift() ?? (receiveMessageOnPort(port)?.message as AttentionCommand | undefined);
}

async function serve(engine: Engine, exchange: Exchange): Promise<void> {
  const steps = new Int32Array(data.stepCounter);
  for (;;) {
    for (let command = nextCommand(); command !== undefined; command = nextCommand()) {
      if (command.kind === 'stop') {
        engine.failAll(unavailable('This attention host is stopping; send the request again.'));
        exchange.setActive?.(false);
        return report(engine, exchange);
      }
      if (command.kind === 'submit') engine.submit(command.job, command.emitted);
      else engine.cancel(command.requestId);
    }
    if (!engine.idle) {
      exchange.setActive?.(true);
      exchange.beginStep?.();
      try {
        await engine.step();
      } finally {
        exchange.endStep?.();
      }
      Atomics.add(steps, 0, 1);
    }
    if (events.length > 0 || ended.length > 0) {
      report(engine, exchange);
      engine.phases.end('publish');
    }
    if (!engine.idle || inbox.length > 0) continue;
    exchange.setActive?.(false);
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
    engine.phases.resume();
  }
}

port.on('message', (command: AttentionCommand) => {
  inbox.push(command);
  wake?.();
});
try {
  const startedAt = performance.now();
  const { engine, exchange } = load();
  // Before it counts as ready, so that the first record of a ready instance tells of its prefix cache.
  report(engine, exchange);
  say({ kind: 'ready', loadMs: performance.now() - startedAt });
  await serve(engine, exchange);
  await exchange.close();
} catch (error) {
  say({ kind: 'failed', message: error instanceof Error ? error.message : String(error) });
}
port.close();
