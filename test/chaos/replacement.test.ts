import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it, onTestFailed } from 'vitest';
import { readPlacement, takeVersion, wantPlacement } from '../../gpu-pool/host/placement-store.ts';
import { DRIFT_LIMITS } from '../../shared/replacement/drift.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import { exchangedPlacement } from '../support/exchanged-placement.ts';
import { TestClient } from '../support/generate.ts';
import { useRedis } from '../support/redis.ts';
import { StreamLoad } from '../support/stream-load.ts';
import { DICTIONARY_FOLDER, DICTIONARY_MODEL, type HostProcess, spawnHost } from '../support/test-host.ts';
import { quantile } from './interactive-client.ts';

/** `JANUS_CHAOS=whole`: re-placements for two minutes, in turn with as much time without any, and what they cost. */
const IS_WHOLE = process.env.JANUS_CHAOS === 'whole';
const PHASES = IS_WHOLE ? 6 : 1;
const RE_PLACEMENTS_PER_PHASE = IS_WHOLE ? 4 : 3;
const RE_PLACEMENT_MS = IS_WHOLE ? 5_000 : 500;
const PHASE_MS = RE_PLACEMENTS_PER_PHASE * RE_PLACEMENT_MS;
const LIMIT_MS = IS_WHOLE ? 6 * 60_000 : 60_000;
/** TPOT p99 under re-placements over that without. */
const MOST_RISE = 1.2;
const FLIP_LIMIT_MS = 8_000;
const POLL_MS = 20;
const STREAMS = 6;
const EXPERT_HOSTS = 2;
/** For 32 experts: of twelve there are two replicas. */
const SLOTS = 22;

const redis = useRedis();
const processes: HostProcess[] = [];
let client: TestClient;

function start(...args: string[]): void {
  processes.push(spawnHost([...args, '--redis', redis.url, '--model', DICTIONARY_FOLDER]));
}

beforeAll(async () => {
  for (let host = 0; host < EXPERT_HOSTS; host++) {
    start('--role', 'experts', '--experts', '1', '--slots', `${SLOTS}`);
  }
  start('--role', 'attention', '--attention', '1', '--expert-instances', `${EXPERT_HOSTS}`);
  client = new TestClient(redis.url);
  await new StreamLoad(client, 1).end();
});
afterAll(async () => {
  await client.close();
  await Promise.all(processes.map((host) => host.stop()));
});

const inForce = async (): Promise<Placement> => (await readPlacement(client.redis, DICTIONARY_MODEL))!;

/** One placement after the other, each with as many moves as the scaler makes at once; planned before anything is timed. */
function planAll(first: Placement): Placement[] {
  const planned: Placement[] = [];
  for (let seed = 1; seed <= PHASES * RE_PLACEMENTS_PER_PHASE; seed++) {
    planned.push(exchangedPlacement(planned.at(-1) ?? first, DRIFT_LIMITS.mostMoves, seed));
  }
  return planned;
}

/** Has a placement follow the one in force, as the scaler does. @returns how long it took, in milliseconds */
async function rePlace(planned: Placement): Promise<number> {
  const held = await inForce();
  const next = { ...planned, version: await takeVersion(client.redis, DICTIONARY_MODEL) };
  const fromMs = performance.now();
  expect(await wantPlacement(client.redis, next, held.version)).toBe(true);
  await expect
    .poll(async () => (await inForce()).version, { timeout: FLIP_LIMIT_MS, interval: POLL_MS })
    .toBe(next.version);
  return performance.now() - fromMs;
}

/** Times between tokens in one phase without re-placements and in the one with them that follows. */
interface Phase {
  readonly without: readonly number[];
  readonly during: readonly number[];
  readonly inForceAfterMs: readonly number[];
}

async function measure(load: StreamLoad, planned: readonly Placement[]): Promise<Phase> {
  load.takeGaps();
  if (IS_WHOLE) await sleep(PHASE_MS);
  const without = load.takeGaps();
  const inForceAfterMs: number[] = [];
  for (const placement of planned) {
    const fromMs = performance.now();
    inForceAfterMs.push(await rePlace(placement));
    await sleep(Math.max(0, RE_PLACEMENT_MS - (performance.now() - fromMs)));
  }
  return { without, during: load.takeGaps(), inForceAfterMs };
}

const riseOf = ({ without, during }: Pick<Phase, 'without' | 'during'>): number =>
  quantile(during, 0.99) / quantile(without, 0.99);

/** Of an even number of values the mean of the middle two. */
const median = (values: readonly number[]): number =>
  (quantile(values, 0.5) -
    quantile(
      values.map((value) => -value),
      0.5,
    )) /
  2;

function describe(name: string, phase: Phase): string {
  const pair = (share: number) =>
    [phase.without, phase.during].map((gaps) => quantile(gaps, share).toFixed(2)).join(' → ');
  const waits = phase.inForceAfterMs.map((ms) => ms.toFixed(0)).join(', ');
  return (
    `${name}: ${phase.without.length} → ${phase.during.length} gaps; TPOT p50 ${pair(0.5)} ms, p99 ${pair(0.99)} ms, ` +
    `longest ${pair(1)} ms; p99 × ${riseOf(phase).toFixed(3)}; in force after ${waits} ms`
  );
}

it('placements change again and again under streams, of which none notices', {
  timeout: LIMIT_MS,
}, async () => {
  onTestFailed(() => console.error(processes.map((host) => host.output()).join('\n—\n')));
  const planned = planAll(await inForce());
  const load = new StreamLoad(client, STREAMS);
  await expect.poll(() => load.tokens, { timeout: FLIP_LIMIT_MS }).toBeGreaterThan(10 * STREAMS);
  const phases: Phase[] = [];
  while (planned.length > 0) phases.push(await measure(load, planned.splice(0, RE_PLACEMENTS_PER_PHASE)));
  const result = await load.end();
  expect(result.wrong).toEqual([]);
  expect(result.answers).toBeGreaterThan(STREAMS);
  if (!IS_WHOLE) return;
  const all: Phase = {
    without: phases.flatMap(({ without }) => without),
    during: phases.flatMap(({ during }) => during),
    inForceAfterMs: phases.flatMap(({ inForceAfterMs }) => inForceAfterMs),
  };
  const rise = median(phases.map(riseOf));
  console.log('without → with re-placements');
  for (const [index, phase] of phases.entries()) console.log(describe(`phase ${index + 1}`, phase));
  console.log(describe('all', all));
  console.log(
    `${result.answers} answers, none wrong; TPOT p99 × ${rise.toFixed(3)}, the median of the phases`,
  );
  expect(rise).toBeLessThan(MOST_RISE);
});
