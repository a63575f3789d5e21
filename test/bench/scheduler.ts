import { staticPlacement } from '../../shared/placement/placement.ts';
import { AebsScheduler } from '../../shared/scheduler/aebs.ts';
import { indexLayout } from '../../shared/scheduler/layout-index.ts';

const EXPERTS = 160;
const INSTANCES = 16;
/** C; with 160 experts 32 of the 192 slots hold second replicas. */
const CAPACITY = 12;
const TOP_K = 8;
const TOKENS = [64, 512, 4096];
/** Routings that the calls go round, so that no branch predictor learns one of them by heart. */
const ROUTINGS = 16;
/** Calls before the timed ones, enough for the optimising compiler to be done. */
const WARM_UP_CALLS = 5_000;
const SEED = 0x5eed;

interface SchedulerCase {
  readonly scheduler: 'aebs';
  readonly tokens: number;
  readonly topK: number;
  readonly experts: number;
  readonly instances: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

/** Times AEBS on uniform synthetic routing, one call at a time, on one thread. */
export async function run(options: { quick: boolean }): Promise<Record<string, unknown>> {
  const calls = options.quick ? 2_000 : 20_000;
  return { cases: TOKENS.map((tokens) => timeAebs(tokens, calls)) };
}

function timeAebs(tokens: number, calls: number): SchedulerCase {
  const placement = staticPlacement({
    version: 1,
    model: 'bench',
    layers: 1,
    experts: EXPERTS,
    capacity: CAPACITY,
    instances: Array.from({ length: INSTANCES }, (_, id) => ({ id, host: 'bench' })),
  });
  const index = indexLayout(placement.layers[0], EXPERTS);
  const scheduler = new AebsScheduler({
    maxTokens: tokens,
    topK: TOP_K,
    experts: EXPERTS,
    instances: INSTANCES,
  });
  const random = seededRandom(SEED);
  const routings = Array.from({ length: ROUTINGS }, () => uniformRouting(tokens, random));
  const elapsedUs = new Float64Array(calls);
  for (let call = -WARM_UP_CALLS; call < calls; call += 1) {
    const routing = routings[(call + WARM_UP_CALLS) % ROUTINGS];
    const startedMs = performance.now();
    scheduler.schedule(index, routing, tokens, TOP_K);
    const endedMs = performance.now();
    if (call >= 0) {
      elapsedUs[call] = (endedMs - startedMs) * 1000;
    }
  }
  elapsedUs.sort();
  return {
    scheduler: 'aebs',
    tokens,
    topK: TOP_K,
    experts: EXPERTS,
    instances: INSTANCES,
    p50Us: quantile(elapsedUs, 0.5),
    p99Us: quantile(elapsedUs, 0.99),
  };
}

function quantile(sorted: Float64Array, share: number): number {
  return Math.round(sorted[Math.floor(sorted.length * share)] * 100) / 100;
}

/** [tokens, TOP_K]: distinct experts within a token, all equally likely. */
function uniformRouting(tokens: number, random: () => number): Int32Array {
  const ids = new Int32Array(tokens * TOP_K);
  const experts = Int32Array.from({ length: EXPERTS }, (_, expert) => expert);
  for (let token = 0; token < tokens; token += 1) {
    for (let slot = 0; slot < TOP_K; slot += 1) {
      const other = slot + Math.floor(random() * (EXPERTS - slot));
      const chosen = experts[other];
      experts[other] = experts[slot];
      experts[slot] = chosen;
      ids[token * TOP_K + slot] = chosen;
    }
  }
  return ids;
}

/** Uniform numbers in [0, 1) from a 32-bit state (mulberry32). */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
