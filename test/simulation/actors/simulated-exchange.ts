import {
  AnswerOverdueError,
  type ExchangeError,
  PeerLostError,
  StalePlacementError,
} from '../../../gpu-pool/exchange/link.ts';
import type { Placement } from '../../../shared/scheduler/layout.ts';
import type { Bed } from '../bed.ts';
import type { LayerAnswer, LayerFrame } from '../messages.ts';
import type { SimulatedProcess } from '../world.ts';
import { StepScheduler } from './step-scheduler.ts';

/** Frames that are not answered are sent again after this time. */
const RESEND_MS = 250;
/** A host that is silent for so long is given up. */
const OVERDUE_AFTER_MS = 1_500;

interface Waiting {
  readonly take: (answer: LayerAnswer) => void;
}

/** The way of an attention host to the expert hosts of one placement: as `PooledExchange`, over messages that may be lost. */
export class SimulatedExchange {
  readonly placement: Placement;
  readonly #bed: Bed;
  readonly #process: SimulatedProcess;
  readonly #scheduler: StepScheduler;
  /** `<step> <host>` → who waits for the answer. */
  readonly #waiting = new Map<string, Waiting>();

  constructor(bed: Bed, process: SimulatedProcess, placement: Placement) {
    this.#bed = bed;
    this.#process = process;
    this.placement = placement;
    this.#scheduler = new StepScheduler(bed, placement, process.name);
  }

  /** Takes an answer; one that nobody waits for any more changes nothing. */
  take(host: string, answer: LayerAnswer): void {
    this.#waiting.get(`${answer.step} ${host}`)?.take(answer);
  }

  /**
   * Returns the sum over the experts of each row.
   *
   * @param step names the layer step among all steps
   * @throws {ExchangeError} as links do
   */
  async run(step: string, layer: number, rows: readonly number[], expertIds: Int32Array): Promise<number[]> {
    const instanceOf = this.#scheduler.schedule(step, layer, expertIds, rows.length);
    const { version, instances } = this.placement;
    const hosts = new Set(
      expertIds
        .map((expert) => instanceOf[expert]!)
        .values()
        .map((id) => instances[id]!.host),
    );
    const frame: LayerFrame = { kind: 'step', step, version, layer, rows, expertIds };
    // All come to rest before an error is passed on, as in `PooledExchange`.
    const shares = await Promise.allSettled([...hosts].sort().map((host) => this.#ask(host, frame)));
    const failed = shares.find((share) => share.status === 'rejected');
    if (failed) throw failed.reason;
    return rows.map((_, row) =>
      shares.reduce(
        (sum, share) => sum + (share as PromiseFulfilledResult<readonly number[]>).value[row]!,
        0,
      ),
    );
  }

  async #ask(host: string, frame: LayerFrame): Promise<readonly number[]> {
    const { network } = this.#bed;
    const key = `${frame.step} ${host}`;
    try {
      return await new Promise((resolve, reject) => {
        const take = (answer: LayerAnswer): void => {
          if (answer.kind === 'share') resolve(answer.sums);
          else reject(new StalePlacementError(host, frame.version, answer.held));
        };
        this.#waiting.set(key, { take });
        network.send(this.#process, host, frame);
        this.#watch(host, frame, 0, reject);
      });
    } finally {
      this.#waiting.delete(key);
    }
  }

  #watch(host: string, frame: LayerFrame, waitedMs: number, reject: (error: ExchangeError) => void): void {
    setTimeout(() => {
      if (!this.#waiting.has(`${frame.step} ${host}`)) return;
      const { network } = this.#bed;
      const nextMs = waitedMs + RESEND_MS;
      if (!network.isThere(host)) return reject(new PeerLostError(host, 'its socket was closed', 'host'));
      if (nextMs >= OVERDUE_AFTER_MS) return reject(new AnswerOverdueError(host, nextMs));
      network.send(this.#process, host, frame);
      this.#watch(host, frame, nextMs, reject);
    }, RESEND_MS);
  }
}
