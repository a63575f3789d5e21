import { scalerDecisionsKey, scalerRecordKey, wantedSizesKey } from '../../shared/protocol/keys.ts';
import type { ScalerDecision, ScalerRecord, WantedSizes } from '../../shared/protocol/scaling.ts';
import type { PoolSizes } from '../../shared/scaling/solver.ts';
import type { SimulatedServer } from './redis/server.ts';
import { LARGEST_SKEW_MS, SCALING_TARGET } from './scaling-target.ts';
import { MODEL } from './simulated-model.ts';

/** What a scaler's round left in Redis. */
interface Round {
  readonly record: ScalerRecord;
  readonly wanted: WantedSizes;
  /** Newest first. */
  readonly decisions: readonly string[];
}

const areEqual = (one: PoolSizes, other: PoolSizes): boolean =>
  one.attention === other.attention && one.experts === other.experts;

/** Two scalers at once must do what one does: every round is looked at as it is written. */
export class ScalingChecks {
  readonly #server: SimulatedServer;
  readonly #fail: (detail: string) => void;
  rounds = 0;
  sizes = 0;
  #before: Round | null = null;
  #changedAtMs = 0;

  constructor(server: SimulatedServer, fail: (detail: string) => void) {
    this.#server = server;
    this.#fail = fail;
  }

  /** The server lost what it wrote last: history goes on from what is left. */
  lost(nowMs: number): void {
    this.#before = this.#read(nowMs);
    this.#changedAtMs = this.#before?.record.state.changedAtMs ?? 0;
  }

  /** To be called when a decision is kept, which is the last thing that a round writes. */
  check(nowMs: number): void {
    const round = this.#read(nowMs);
    if (round === null) {
      this.#fail('a decision is kept, but neither a record nor wanted sizes');
      return;
    }
    const { record, wanted, decisions } = round;
    const before = this.#before;
    this.#before = round;
    this.rounds += 1;
    if (record.version !== (before?.record.version ?? 0) + 1) {
      this.#fail(`round ${record.version} follows round ${before?.record.version ?? 0}`);
    }
    if (decisions.length !== record.version) {
      this.#fail(`${decisions.length} decisions are kept of ${record.version} rounds`);
    }
    if (!areEqual(record.state.wanted, wanted)) this.#fail('what is wanted is not what the scaler keeps');
    if (before === null || wanted.version === before.wanted.version) return;
    this.#checkChange(before.wanted, wanted, JSON.parse(decisions[0]!), nowMs);
  }

  #checkChange(before: WantedSizes, wanted: WantedSizes, { ready }: ScalerDecision, nowMs: number): void {
    this.sizes += 1;
    const sinceMs = nowMs - this.#changedAtMs;
    this.#changedAtMs = nowMs;
    if (wanted.version !== before.version + 1) {
      this.#fail(`wanted sizes of version ${wanted.version} follow version ${before.version}`);
    }
    const isGivenUp = sinceMs > SCALING_TARGET.limits.changeLimitMs - 2 * LARGEST_SKEW_MS;
    if (isGivenUp || areEqual(before, ready)) return;
    this.#fail(`version ${wanted.version} was wanted before version ${before.version} was reached`);
  }

  #read(nowMs: number): Round | null {
    const { store } = this.#server;
    const record = store.read('string', scalerRecordKey(MODEL), nowMs);
    const wanted = store.read('string', wantedSizesKey(MODEL), nowMs);
    if (record === undefined || wanted === undefined) return null;
    const decisions = [...(store.read('list', scalerDecisionsKey(MODEL), nowMs) ?? [])];
    return { record: JSON.parse(record.text), wanted: JSON.parse(wanted.text), decisions };
  }
}
