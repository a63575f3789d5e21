import { constants } from 'node:os';
import { JanusError } from '../../shared/errors/janus-error.ts';

const STOP_SIGNALS = ['SIGINT', 'SIGTERM'] as const;
type StopSignal = (typeof STOP_SIGNALS)[number];

/** npm passes a Ctrl-C on that the terminal has sent to this process already; both are one wish to stop. */
const SAME_KEY_PRESS_MS = 500;
/** Longest shutdown. It lies above the sum of the bounds of its parts, and ends what hangs all the same. */
export const SHUTDOWN_LIMIT_MS = 45_000;
/** Time for a signal to end the process before it is ended otherwise. */
const SIGNAL_LIMIT_MS = 100;

/** What keeps running until it is closed. */
export interface Running {
  close(): Promise<void>;
  /** Resolves with the reason when it cannot go on by itself. */
  readonly givenUp?: Promise<string>;
}

/**
 * Starts something and keeps it running until SIGINT or SIGTERM, or until it gives up, then closes it. A signal that comes while it
 * starts ends the process at once, since nothing is under way yet; so does a second signal.
 *
 * @param log told why the process ends
 * @throws what `start` throws; JanusError with the reason when what was started gave up
 */
export async function runUntilStopped(
  start: () => Promise<Running>,
  log: (line: string) => void,
): Promise<void> {
  let starting = true;
  const stopped = Promise.withResolvers<StopSignal>();
  let firstAtMs: number | undefined;
  const onSignal = (signal: StopSignal): void => {
    const nowMs = performance.now();
    firstAtMs ??= nowMs;
    stopped.resolve(signal);
    if (starting || nowMs - firstAtMs > SAME_KEY_PRESS_MS) endAtOnce(signal);
  };
  for (const signal of STOP_SIGNALS) process.on(signal, onSignal);

  const running = await start();
  starting = false;
  const told = stopped.promise.then((signal) => {
    log(`${signal}: finishing the requests under way; another ${signal} ends them`);
    return null;
  });
  const reason = await Promise.race(running.givenUp ? [told, running.givenUp] : [told]);
  const overdue = setTimeout(() => {
    log(`Not closed after ${SHUTDOWN_LIMIT_MS / 1_000} s; ending.`);
    process.exit(1);
  }, SHUTDOWN_LIMIT_MS);
  await running.close();
  // The timer stays, in case that something keeps the closed process alive, but does not do so itself.
  overdue.unref();
  if (reason !== null) throw new JanusError(reason);
}

/**
 * Lets the signal do what it does by default. `process.exit` would tear down threads in the middle of a computation, on which
 * ONNX Runtime's binding aborts; it is only for the first process of a container, which signals do not end.
 */
function endAtOnce(signal: StopSignal): void {
  for (const stopSignal of STOP_SIGNALS) process.removeAllListeners(stopSignal);
  process.kill(process.pid, signal);
  setTimeout(() => process.exit(128 + constants.signals[signal]), SIGNAL_LIMIT_MS);
}
