import type { Cluster } from './actors/cluster.ts';
import { publishAnother } from './actors/operator.ts';
import type { Bed } from './bed.ts';
import { pairOf } from './network.ts';

/** Faults come between these times after the start, and last no longer than until the second. */
export const FIRST_FAULT_MS = 3_000;
export const LAST_FAULT_MS = 15_000;
const FEWEST_FAULTS = 3;
const MOST_FAULTS = 9;
/** Share of the placements that are computed from traffic. */
const BY_TRACE = 0.25;

const KINDS = [
  'expert host dies',
  'attention host dies',
  'gateway dies',
  'hosts do not reach each other',
  'process does not reach Redis',
  'connections to Redis break',
  'Redis restarts',
  'Redis loses its last second',
  'Redis is slow',
  'network loses and doubles messages',
  'clock jumps',
  'placement changes',
] as const;
export type FaultKind = (typeof KINDS)[number];

export interface PlannedFault {
  readonly kind: FaultKind;
  readonly atMs: number;
}

/** Chooses what goes wrong in a run, and when. */
export function planFaults({ world }: Bed): PlannedFault[] {
  const count = world.integer(FEWEST_FAULTS, MOST_FAULTS);
  const planned = Array.from(
    { length: count },
    (): PlannedFault => ({
      kind: world.pick(KINDS),
      atMs: world.between(FIRST_FAULT_MS, LAST_FAULT_MS),
    }),
  );
  return planned.sort((a, b) => a.atMs - b.atMs);
}

/** Makes something go wrong now. */
export function strike(bed: Bed, cluster: Cluster, kind: FaultKind): void {
  const { world, server, network } = bed;
  const untilMs = (least: number, most: number): number => world.nowMs + world.between(least, most);
  const victim = <Host>(hosts: readonly Host[]): Host | undefined => world.pick(hosts);
  switch (kind) {
    case 'expert host dies': {
      const host = victim(cluster.experts);
      if (host !== undefined) bed.kill(host.process);
      return;
    }
    case 'attention host dies': {
      const host = victim(cluster.attention);
      if (host !== undefined) bed.kill(host.process);
      return;
    }
    case 'gateway dies':
      victim(cluster.gateways)?.kill();
      cluster.startGateway('node');
      return;
    case 'hosts do not reach each other': {
      const [one, other] = [victim(cluster.attention), victim(cluster.experts)];
      if (one === undefined || other === undefined) return;
      network.faults.cutUntilMs.set(pairOf(one.process.name, other.process.name), untilMs(200, 4_000));
      return;
    }
    case 'process does not reach Redis':
      server.faults.stalledUntilMs.set(world.pick(cluster.names), untilMs(200, 6_000));
      return;
    case 'connections to Redis break': {
      const hosts = [...cluster.attention, ...cluster.experts, ...cluster.gateways];
      server.reset(world.chance(0.5) ? null : world.pick(hosts).process);
      return;
    }
    case 'Redis restarts':
    case 'Redis loses its last second':
      server.crash(kind === 'Redis loses its last second');
      if (server.hasLost) bed.checks.lostWrites();
      world.at(untilMs(50, 1_500), world.outside, () => server.restart());
      return;
    case 'Redis is slow':
      server.faults.slowMs = world.between(20, 400);
      server.faults.slowUntilMs = untilMs(300, 3_000);
      return;
    case 'network loses and doubles messages':
      Object.assign(network.faults, { untilMs: untilMs(300, 4_000), loss: 0.15, duplication: 0.3 });
      return;
    case 'clock jumps': {
      const hosts = [...cluster.attention, ...cluster.experts, ...cluster.gateways];
      world.pick(hosts).process.skewMs = cluster.skewMs();
      return;
    }
    case 'placement changes':
      publishAnother(bed, world.chance(BY_TRACE));
      return;
  }
}

/** Ends whatever still goes wrong. */
export function heal({ world, server, network }: Bed): void {
  server.restart();
  server.faults.stalledUntilMs.clear();
  server.faults.slowUntilMs = world.nowMs;
  network.faults.untilMs = world.nowMs;
  network.faults.cutUntilMs.clear();
}
