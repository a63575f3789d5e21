import type { HostRecord } from '../../shared/protocol/member.ts';
import { type LossReport, lostInstances } from '../../shared/replacement/loss.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import type { Interrupted } from '../attention/attention-instance.ts';
import { INTERRUPTION_LIMIT_MS } from '../attention/interruption.ts';
import type { Host } from './host.ts';
import { readMembers } from './membership.ts';
import { formPlacement, placementReady } from './placement-formation.ts';
import { abandonHopeless, reinstate, replaceLost, restoreReplicas } from './placement-repair.ts';
import { PlacementReader, readWanted } from './placement-store.ts';
import { RENEWAL_LIMIT_MS, RecentMembers } from './recent-members.ts';

/** Replicas are restored when a placement has been in force for this long: by then who died before it renews nothing any more. */
const RESTORE_AFTER_MS = RENEWAL_LIMIT_MS + 500;
/** Losses that are remembered; more say nothing new. */
const REPORT_LIMIT = 64;

/**
 * Keeps the attention instances of a host under the placement in force while they serve, and sees to it that there is one
 * that can be served: without hosts that were lost, and with those that joined.
 */
export class PlacementFollower {
  readonly #host: Host;
  readonly #place: (placement: Placement, members: readonly HostRecord[]) => void;
  readonly #reader: PlacementReader;
  readonly #recent = new RecentMembers();
  #placement: Placement;
  #placedAtMs = performance.now();
  #reports: LossReport[] = [];
  #announced: number | null = null;
  #hopelessSinceMs: number | undefined;
  #told = '';

  /** @param place lets the instances go on under another placement */
  constructor(
    host: Host,
    first: Placement,
    place: (placement: Placement, members: readonly HostRecord[]) => void,
  ) {
    this.#host = host;
    this.#placement = first;
    this.#reader = new PlacementReader(host.redis, host.options.model.name);
    this.#place = place;
  }

  /** An instance's step was interrupted: the next look takes it into account. */
  report({ version, loss, message }: Interrupted): void {
    this.#tell(`a layer step under placement version ${version} was interrupted: ${message}`);
    if (loss !== null && this.#reports.length < REPORT_LIMIT) this.#reports.push({ version, ...loss });
  }

  /** Follows what Redis says once. Returns false when the instances have waited for a placement in vain. */
  async look(): Promise<boolean> {
    const { redis, options, log } = this.#host;
    const model = options.model.name;
    try {
      const [living, held, wanted] = await Promise.all([
        readMembers(redis, model),
        this.#reader.read(),
        readWanted(redis, model),
      ]);
      const inForce = await this.#notForgotten(held);
      const members = this.#recent.with(living, performance.now());
      const usable = await this.#withoutLost(inForce, members);
      if (usable === null) return await this.#waitForHosts(inForce, members);
      this.#hopelessSinceMs = undefined;
      this.#follow(usable, members);
      if (wanted !== null) {
        const reason = await abandonHopeless(redis, wanted, usable, members);
        if (reason !== null) log(`the wanted placement is given up: ${reason}`);
      } else if (performance.now() - this.#placedAtMs > RESTORE_AFTER_MS) {
        const renewed = this.#recent.renewed(living, performance.now());
        const version = await restoreReplicas(redis, usable, renewed);
        if (version !== null) log(`placement version ${version} is to use all living expert instances`);
      }
      await this.#announce();
    } catch (error) {
      // Redis is away: nothing is known about anybody, so nobody is given up.
      this.#tell(`placement: ${error instanceof Error ? error.message : String(error)}`);
    }
    return true;
  }

  /** What Redis holds, or what it held before it lost what it wrote last: that is put in force again. */
  async #notForgotten(held: Placement | null): Promise<Placement> {
    const known = this.#placement;
    if (held !== null && held.version >= known.version) return held;
    const { redis, log } = this.#host;
    const next = await reinstate(redis, known, held);
    log(`Redis has forgotten placement version ${known.version}; going on under version ${next.version}`);
    return next;
  }

  /** What goes on is logged once. */
  #tell(message: string): void {
    if (message !== this.#told) this.#host.log(message);
    this.#told = message;
  }

  /** The placement that is in force once those that are lost are out of it; null where there can be none. */
  async #withoutLost(inForce: Placement, members: readonly HostRecord[]): Promise<Placement | null> {
    this.#reports = this.#reports.filter(({ version }) => version >= inForce.version);
    const lost = lostInstances(inForce, members, this.#reports);
    if (lost.length === 0) return inForce;
    const next = await replaceLost(this.#host.redis, inForce, lost, members);
    // A report has done what it can do: they are without layer steps now, or nobody can take their place.
    this.#reports = this.#reports.filter(({ version }) => version > inForce.version);
    if (next !== null) {
      this.#host.log(
        `expert instance ${lost.join(', ')} of placement version ${inForce.version} is lost; going on under version ${next.version}`,
      );
      return next;
    }
    // Those that live are tried again: an answer may have been overdue because its host was busy.
    return lostInstances(inForce, members, []).length === 0 ? inForce : null;
  }

  #follow(inForce: Placement, members: readonly HostRecord[]): void {
    if (inForce.version === this.#placement.version || !placementReady(inForce, members)) return;
    this.#placement = inForce;
    this.#placedAtMs = performance.now();
    this.#place(inForce, members);
  }

  /** Sequences wait meanwhile, up to a bound. */
  async #waitForHosts(inForce: Placement, members: readonly HostRecord[]): Promise<boolean> {
    const nowMs = performance.now();
    if (this.#hopelessSinceMs === undefined) {
      this.#hopelessSinceMs = nowMs;
      const lost = lostInstances(inForce, members, this.#reports);
      const hosts = new Set(lost.map((id) => inForce.instances[id]!.host));
      this.#host.log(
        `expert host ${[...hosts].join(', ')} is gone; placement version ${inForce.version} cannot be served`,
      );
    }
    await formPlacement(this.#host, inForce, members);
    return nowMs - this.#hopelessSinceMs < INTERRUPTION_LIMIT_MS;
  }

  /** Expert hosts drop what no attention host needs any more, so they are told soon. */
  async #announce(): Promise<void> {
    const version = this.#host.attention?.placementVersion ?? null;
    if (version === this.#announced) return;
    this.#announced = version;
    await this.#host.announce();
  }
}
