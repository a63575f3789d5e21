import { DispatchError } from '../../functions/dispatcher/errors.ts';
import type { AnswerEvent } from '../../functions/gateway/generation/journal.ts';
import { placementKey, scalerDecisionsKey, wantedPlacementKey } from '../../shared/protocol/keys.ts';
import type { SequenceJob } from '../../shared/protocol/request.ts';
import type { RequestFailure } from '../../shared/protocol/token-event.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import type { SimulatedServer } from './redis/server.ts';
import { ScalingChecks } from './scaling-checks.ts';
import { MODEL, referenceAnswer } from './simulated-model.ts';
import type { World } from './world.ts';

/** What must hold in every run; a violation names one of these. */
export type Rule =
  | 'a client gets every token once, and the right ones'
  | 'every request ends in time, answered or with a declared reason'
  | 'every host computes the same assignment of a step'
  | 'a step is computed only by hosts that hold its experts'
  | 'versions never go back, and name one table each'
  | 'every expert has a living replica, or is being repaired'
  | 'a placement that is wanted comes in force or is given up'
  | 'wanted sizes follow one history, one change at a time'
  | 'queues and stores are bounded'
  | 'nothing in the simulation breaks';

export interface Violation {
  readonly rule: Rule;
  readonly detail: string;
  readonly atMs: number;
}

/** Failures of a request that a gateway tells its client. */
const DECLARED_CODES: readonly (string | null)[] = ['pool_unavailable', 'cancelled'];

/** One request as its client sees it. */
interface Request {
  readonly job: SequenceJob;
  readonly answer: readonly number[];
  tokens: number;
  /** Null while it is under way. */
  end: 'finished' | 'failed' | 'dropped' | null;
}

/** What took place in a run. */
export interface Seen {
  /** Placements that came in force, and of these those that had been wanted. */
  readonly placements: number;
  readonly flips: number;
  /** Rounds of scalers, and changes of what they want. */
  readonly rounds: number;
  readonly sizes: number;
  /** Jobs that another host had begun. */
  readonly takeovers: number;
}

/** Watches a run and notes what must not happen. */
export class Checks {
  readonly violations: Violation[] = [];
  readonly requests = new Map<string, Request>();
  readonly #world: World;
  readonly #server: SimulatedServer;
  /** Placement version → its table. */
  readonly #tables = new Map<number, string>();
  /** Layer step → assignment, as the first host computed it. */
  readonly #assignments = new Map<string, string>();
  readonly #versionOf = new Map<string, number>();
  readonly #scaling: ScalingChecks;
  takeovers = 0;
  #placements = 0;
  #flips = 0;
  #inForce = 0;

  constructor(world: World, server: SimulatedServer) {
    this.#world = world;
    this.#server = server;
    this.#scaling = new ScalingChecks(server, (detail) =>
      this.fail('wanted sizes follow one history, one change at a time', detail),
    );
    server.store.onWrite = (key) => this.#onWrite(key);
  }

  get isBroken(): boolean {
    return this.violations.length > 0;
  }

  get seen(): Seen {
    const { rounds, sizes } = this.#scaling;
    return { placements: this.#placements, flips: this.#flips, rounds, sizes, takeovers: this.takeovers };
  }

  fail(rule: Rule, detail: string): void {
    this.violations.push({ rule, detail, atMs: this.#world.nowMs });
  }

  broke(error: unknown): void {
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.fail('nothing in the simulation breaks', detail);
  }

  asked(job: SequenceJob): void {
    this.requests.set(job.requestId, { job, answer: referenceAnswer(job), tokens: 0, end: null });
  }

  /** A client was given events of its request. */
  took(requestId: string, events: readonly AnswerEvent[]): void {
    const rule = 'a client gets every token once, and the right ones';
    const request = this.requests.get(requestId)!;
    for (const event of events) {
      if (event.kind === 'token') {
        const expected = request.answer[request.tokens];
        if (event.position !== request.tokens || event.id !== expected) {
          const told = `token ${event.id} as number ${event.position}`;
          this.fail(rule, `${requestId} was given ${told}, but number ${request.tokens} is ${expected}`);
        }
        request.tokens += 1;
      } else if (event.kind === 'finished' && request.tokens !== request.answer.length) {
        this.fail(rule, `${requestId} ended after ${request.tokens} of ${request.answer.length} tokens`);
      }
    }
  }

  finished(requestId: string): void {
    this.requests.get(requestId)!.end = 'finished';
  }

  /** The client lost its connection, and with it the answer. */
  dropped(requestId: string): void {
    this.requests.get(requestId)!.end ??= 'dropped';
  }

  failed(requestId: string, error: unknown, failure: RequestFailure | null): void {
    this.requests.get(requestId)!.end = 'failed';
    const hasHole = error instanceof Error && error.message.includes('lacks token');
    const isDeclared =
      (failure !== null && DECLARED_CODES.includes(failure.code)) ||
      error instanceof DispatchError ||
      // Of a server that lost what it wrote, an answer with a hole is all that can be had; it must not look like an answer.
      (hasHole && this.#server.hasLost);
    if (isDeclared) return;
    const reason = failure?.message ?? (error instanceof Error ? error.stack : String(error));
    this.fail('every request ends in time, answered or with a declared reason', `${requestId}: ${reason}`);
  }

  /** A process uses a placement from now on. */
  uses(process: string, placement: Placement): void {
    this.#isSame(process, placement);
    const before = this.#versionOf.get(process) ?? 0;
    if (placement.version < before) this.#wentBack(`${process} from ${before} to ${placement.version}`);
    this.#versionOf.set(process, placement.version);
  }

  /** A process may use a placement from now on. */
  knows(process: string, placement: Placement): void {
    this.#isSame(process, placement);
  }

  bounded(what: string, count: number, most: number): void {
    if (count > most) this.fail('queues and stores are bounded', `${what}: ${count}, at most ${most}`);
  }

  /** A host scheduled a layer step. */
  assigned(step: string, host: string, version: number, layer: number, instanceOf: Int32Array): void {
    const assignment = `version ${version}, layer ${layer}: ${instanceOf.join(' ')}`;
    const first = this.#assignments.get(step) ?? assignment;
    this.#assignments.set(step, first);
    if (first === assignment) return;
    const rule = 'every host computes the same assignment of a step';
    this.fail(rule, `${host} assigns ${step} as ${assignment}, another host as ${first}`);
  }

  /** The server lost what it wrote last, and goes on from what it has: hosts do not go back with it. */
  lostWrites(): void {
    this.#scaling.lost(this.#world.nowMs);
    this.#inForce = this.#stored()?.version ?? 0;
  }

  #isSame(process: string, placement: Placement): void {
    const table = JSON.stringify(placement);
    const known = this.#tables.get(placement.version) ?? table;
    this.#tables.set(placement.version, known);
    if (known !== table) this.#wentBack(`${process} has another table of version ${placement.version}`);
  }

  #wentBack(detail: string): void {
    this.fail('versions never go back, and name one table each', detail);
  }

  #onWrite(key: string): void {
    if (key === placementKey(MODEL)) this.#onPlacement();
    if (key === scalerDecisionsKey(MODEL)) this.#scaling.check(this.#world.nowMs);
  }

  #stored(): Placement | null {
    const stored = this.#server.store.read('string', placementKey(MODEL), this.#world.nowMs);
    return stored === undefined ? null : (JSON.parse(stored.text) as Placement);
  }

  #onPlacement(): void {
    const placement = this.#stored();
    if (placement === null) return;
    this.#isSame('Redis', placement);
    if (placement.version <= this.#inForce)
      this.#wentBack(`in force, from ${this.#inForce} to ${placement.version}`);
    this.#placements += 1;
    const wanted = this.#server.store.read('hash', wantedPlacementKey(MODEL), this.#world.nowMs);
    if (wanted?.get('version') === String(placement.version)) this.#flips += 1;
    this.#inForce = placement.version;
  }
}
