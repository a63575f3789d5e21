import { createJournalReader } from '../../functions/gateway/generation/journal.ts';
import { acknowledgePlacement } from '../../gpu-pool/host/placement-store.ts';
import { performanceProfileKey, scalingTargetKey } from '../../shared/protocol/keys.ts';
import { schedulerOf } from '../../shared/scheduler/create-scheduler.ts';
import { Cluster } from './actors/cluster.ts';
import { Bed, type Parts } from './bed.ts';
import { Checks, type Seen, type Violation } from './checks.ts';
import { checkBounds, findDisorder } from './end-checks.ts';
import { heal, LAST_FAULT_MS, type PlannedFault, planFaults, strike } from './faults.ts';
import { Network } from './network.ts';
import { SimulatedServer } from './redis/server.ts';
import { PROFILE, SCALING_TARGET } from './scaling-target.ts';
import { MODEL } from './simulated-model.ts';
import { installVirtualTime } from './virtual-time.ts';
import { START_MS, World } from './world.ts';

/** From the end of the last fault until everything must be in order, and how soon it is taken for that. */
const ENDING_LIMIT_MS = 45_000;
const SOONEST_END_MS = 5_000;
/** How often it is looked whether it is. */
const LOOK_MS = 500;
const FEWEST_REQUESTS = 4;
const MOST_REQUESTS = 9;
const FEWEST_TOKENS = 3;
const MOST_TOKENS = 40;
const FIRST_REQUEST_MS = 500;

/** What became of a run. */
export interface Outcome {
  readonly seed: number;
  readonly violation: Violation | null;
  readonly faults: readonly PlannedFault[];
  readonly events: number;
  /** Equal for equal runs. */
  readonly fingerprint: number;
  readonly virtualMs: number;
  /** How often what the rules are about took place. */
  readonly seen: Seen;
  /** Requests by how they ended. */
  readonly requests: Readonly<Record<'finished' | 'failed' | 'dropped', number>>;
}

export interface SimulationOptions {
  /** Parts of our code that are replaced. */
  readonly parts?: Partial<Parts> | undefined;
  /** What goes wrong, instead of what the seed says. */
  readonly faults?: readonly PlannedFault[];
}

const OUR_PARTS: Parts = {
  script: (script) => script,
  createJournal: () => createJournalReader(1, 1),
  createScheduler: (placement, limits) => schedulerOf(placement, limits),
  place: (engine, placement) => engine.place(placement),
  acknowledge: (redis, host, version) => acknowledgePlacement(redis, MODEL, host, version),
};

/** Runs a deployment through the faults of a seed: the same seed, event for event the same run. */
export async function simulate(seed: number, options: SimulationOptions = {}): Promise<Outcome> {
  const world = new World(seed);
  const restore = installVirtualTime(world);
  try {
    const parts = { ...OUR_PARTS, ...options.parts };
    const server = new SimulatedServer(world, parts.script);
    const checks = new Checks(world, server);
    const bed = new Bed({ world, network: new Network(world), server, checks, parts });
    const faults = options.faults ?? planFaults(bed);
    await runFaults(bed, faults);
    const ends = [...checks.requests.values()].map(({ end }) => end);
    const count = (end: string): number => ends.filter((each) => each === end).length;
    return {
      seed,
      violation: checks.violations[0] ?? null,
      faults,
      events: world.events,
      fingerprint: world.fingerprint,
      seen: checks.seen,
      virtualMs: world.nowMs - START_MS,
      requests: { finished: count('finished'), failed: count('failed'), dropped: count('dropped') },
    };
  } finally {
    restore();
  }
}

async function runFaults(bed: Bed, faults: readonly PlannedFault[]): Promise<void> {
  const { world, server, checks } = bed;
  server.execute('SET', [scalingTargetKey(MODEL), JSON.stringify(SCALING_TARGET)]);
  server.execute('SET', [performanceProfileKey(MODEL), JSON.stringify(PROFILE)]);
  server.store.makeDurable();
  const cluster = new Cluster(bed);
  planRequests(bed, cluster);
  const later = (ms: number, run: () => void): void => {
    world.at(START_MS + ms, world.outside, run);
  };
  for (const { kind, atMs } of faults) later(atMs, () => strike(bed, cluster, kind));
  later(LAST_FAULT_MS, () => heal(bed));
  const healedAtMs = START_MS + LAST_FAULT_MS;
  const endAtMs = healedAtMs + ENDING_LIMIT_MS;
  let isInOrder = false;
  const look = (): void => {
    isInOrder = findDisorder(bed, cluster) === null;
    world.after(LOOK_MS, world.outside, look);
  };
  world.at(healedAtMs + SOONEST_END_MS, world.outside, look);
  await guard(checks, () => world.run(endAtMs, () => checks.isBroken || isInOrder));
  const disorder = isInOrder ? null : findDisorder(bed, cluster);
  if (disorder !== null) checks.fail(disorder.rule, disorder.detail);
  checkBounds(bed, cluster);
}

/** A defect that comes to light as an error ends the run. */
async function guard(checks: Checks, run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    checks.broke(error);
  }
}

function planRequests({ world }: Bed, cluster: Cluster): void {
  const count = world.integer(FEWEST_REQUESTS, MOST_REQUESTS);
  for (let number = 0; number < count; number += 1) {
    const atMs = START_MS + world.between(FIRST_REQUEST_MS, LAST_FAULT_MS);
    const seed = world.integer(0, 1_000_000);
    const tokens = world.integer(FEWEST_TOKENS, MOST_TOKENS);
    world.at(atMs, world.outside, () => {
      const ready = cluster.gateways.filter(({ isReady }) => isReady);
      // A client that finds no gateway has no request.
      if (ready.length > 0) world.pick(ready).ask(`request-${number}`, seed, tokens);
    });
  }
}
