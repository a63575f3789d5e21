import type { BatchRecord } from '../batch.ts';
import type { BatchLimits } from '../limits.ts';
import { BatchRun, type BatchRunDependencies } from './batch-run.ts';
import { type Claim, LeaseLostError } from './claims.ts';
import { keepLease } from './lease.ts';
import { isBrokerFault } from './persist.ts';

const MS_PER_S = 1_000;

export interface RunnerDependencies extends BatchRunDependencies {
  readonly limits: BatchLimits;
  /** Draws the token of a claim. */
  readonly newToken: () => string;
}

/** Runs batches in this process, beside the runners of other processes. */
export interface BatchRunner {
  /** Looks for a batch to run now rather than a little later. */
  readonly wake: () => void;
  /** Resolves once there is no batch that this process runs or could begin to run. */
  readonly lull: Promise<void>;
  /**
   * Gives its batches up, for other processes to go on with at once; answers under way at the pools stay so. Whose results are
   * being put together ends first.
   */
  readonly close: () => Promise<void>;
}

export function startRunner(dependencies: RunnerDependencies): BatchRunner {
  const { claims, store, clock, limits, report, newToken } = dependencies;
  const closing = new AbortController();
  const running = new Map<string, Promise<void>>();
  const lull = Promise.withResolvers<void>();
  let ring = (): void => {};

  /** Whether this process can run a batch: its file may be in the store of another one. Anybody can end an expired one. */
  const canRun = async (batch: BatchRecord): Promise<boolean> =>
    clock.nowMs() >= batch.expiresAtS * MS_PER_S || store.exists(batch.inputFileId);

  const run = async (batch: BatchRecord, claim: Claim): Promise<void> => {
    const lease = await keepLease({ claims, clock, limits, closing: closing.signal }, batch, claim);
    try {
      await new BatchRun(dependencies, batch, lease).run();
    } catch (error) {
      const isGivenUp = error instanceof LeaseLostError || closing.signal.aborted;
      if (!isGivenUp) {
        report(error, batch.id);
        // The lease runs out by itself, which is the pause before the next attempt.
        return;
      }
    } finally {
      await lease.end();
    }
    await claims.release(claim).catch(() => {});
  };

  const takeSome = async (): Promise<void> => {
    if (running.size >= limits.runningBatches) return;
    for (const found of await claims.unheld()) {
      if (running.size >= limits.runningBatches || closing.signal.aborted) return;
      if (running.has(found.id) || !(await canRun(found))) continue;
      const claim = { batchId: found.id, token: newToken() };
      const batch = await claims.take(claim, limits.leaseMs);
      if (batch === undefined) continue;
      const ended = run(batch, claim).finally(() => {
        running.delete(found.id);
        ring();
      });
      running.set(found.id, ended);
    }
  };

  const pause = (): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, limits.pollMs);
      ring = () => {
        clearTimeout(timer);
        resolve();
      };
    });

  const lookOn = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      await takeSome().catch((error: unknown) => {
        // A Redis that is away is reported by its connection.
        if (!isBrokerFault(error)) report(error, '');
      });
      if (running.size === 0) lull.resolve();
      if (!closing.signal.aborted) await pause();
    }
  };

  const looking = lookOn();
  return {
    wake: () => ring(),
    lull: lull.promise,
    async close() {
      closing.abort(new LeaseLostError());
      ring();
      await looking;
      await Promise.all(running.values());
    },
  };
}
