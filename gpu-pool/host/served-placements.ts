import type { HostPlacementRecord, HostRecord } from '../../shared/protocol/member.ts';
import { oldestInUse, versionsToServe, type WantedPlacement } from '../../shared/replacement/transition.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import type { SharedMemoryLink } from '../exchange/shared-memory-link.ts';
import type { StepServer } from '../exchange/step-server.ts';
import type { ExpertPool } from './expert-pool.ts';

export interface ServedPlacementsParts {
  readonly host: string;
  readonly pool: ExpertPool;
  /** Of layer steps that come from other hosts. */
  readonly links: readonly Pick<SharedMemoryLink, 'serve'>[];
  readonly server?: Pick<StepServer, 'serveVersions'>;
}

/** The placements in Redis, as an expert host sees them. */
export interface PlacementNews {
  readonly inForce: Placement | null;
  readonly wanted: WantedPlacement | null;
  /** Asked only where an older placement is still served. */
  readonly members: () => Promise<readonly HostRecord[]>;
}

/**
 * The placements that an expert host serves at once. It takes up each new one as soon as it holds the replicas, and gives an
 * old one up when no attention host sends steps under it any more. A placement is only a table over what instances hold: they,
 * their lanes and the host's endpoints stay.
 */
export class ServedPlacements {
  readonly #parts: ServedPlacementsParts;
  readonly #spareSlots: number;
  #served: readonly Placement[];
  /** Versions that counted when replicas were last dropped. */
  #kept = '';

  /** @param first the placement with which the pool was started */
  constructor(parts: ServedPlacementsParts, first: Placement) {
    this.#parts = parts;
    this.#spareSlots = parts.pool.spareSlots;
    this.#served = [first];
  }

  serves(version: number): boolean {
    return this.#served.some((placement) => placement.version === version);
  }

  /** @param inForce version in force; null where there is none */
  record(inForce: number | null): HostPlacementRecord {
    const versions = this.#served.map(({ version }) => version);
    const current = versions.filter((version) => inForce === null || version <= inForce);
    const ahead = versions.filter((version) => inForce !== null && version > inForce);
    return {
      version: Math.max(...(current.length > 0 ? current : versions)),
      prepared: ahead.length === 0 ? null : Math.max(...ahead),
      spareSlots: this.#spareSlots,
    };
  }

  /** Takes up what the host is ready for, orders what it lacks, and gives up what is not in use any more. */
  async follow({ inForce, wanted, members }: PlacementNews): Promise<void> {
    if (inForce === null) return;
    const { host, pool } = this.#parts;
    const names = ({ instances }: Placement) => instances.some((instance) => instance.host === host);
    const next = wanted !== null && wanted.from === inForce.version ? wanted.placement : null;
    const coming = [inForce, next].filter((placement) => placement !== null).filter(names);
    const taken = coming.filter(
      (placement) => this.serves(placement.version) || pool.prepare(placement, placement === inForce),
    );
    const isBehind = this.#served.some(({ version }) => version < inForce.version);
    const oldest = isBehind ? oldestInUse(inForce.version, await members()) : inForce.version;
    this.#serve(taken, inForce.version, next?.version ?? null, oldest);
    this.#drop(coming);
  }

  #serve(taken: readonly Placement[], inForce: number, next: number | null, oldest: number): void {
    const all = new Map([...this.#served, ...taken].map((placement) => [placement.version, placement]));
    const kept = versionsToServe([...all.keys()], inForce, next, oldest);
    // While it loads what an emergency asks for, there may be none: it goes on with what it has.
    const versions = kept.length > 0 ? kept : [Math.max(...all.keys())];
    const before = this.#served.map(({ version }) => version);
    if (versions.toSorted().join() === before.toSorted().join()) return;
    this.#served = versions.map((version) => all.get(version)!);
    const { pool, links, server } = this.#parts;
    pool.serveVersions(versions);
    for (const link of links) link.serve(this.#served);
    server?.serveVersions(versions);
  }

  #drop(coming: readonly Placement[]): void {
    const { pool } = this.#parts;
    const inUse = [...this.#served, ...coming];
    const kept = `${inUse.map(({ version }) => version).sort()} ${pool.loaded}`;
    if (kept === this.#kept) return;
    this.#kept = kept;
    pool.keepOnly(inUse);
  }
}
