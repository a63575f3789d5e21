import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { SequenceJob } from '../../shared/protocol/request.ts';
import { createDraw } from '../../test/support/fuzz/draw.ts';
import { createFuzzBed, type FuzzBed } from '../../test/support/fuzz/fuzz-bed.ts';
import { type FuzzRequest, fuzzRequest } from '../../test/support/fuzz/fuzz-request.ts';
import { heldBytes } from '../../test/support/fuzz/held-bytes.ts';
import { type Answer, problemOf } from '../../test/support/fuzz/oracle.ts';
import { GENERATIONS, othersFor, type Seed } from '../../test/support/fuzz/seeds.ts';

/** `npm run test:fuzz` sends 20,000 requests. `JANUS_FUZZ_SEED`, `_FIRST` and `_COUNT` replay what a failure tells of; another seed makes other requests. */
const setting = (name: string, byDefault: number): number =>
  Number(process.env[`JANUS_FUZZ_${name}`] ?? byDefault);
const SEED = setting('SEED', 1);
const FIRST = setting('FIRST', 0);
const COUNT = setting('COUNT', 5_000);

const CLIENTS = 24;
/** Memory is compared from here on, when all that is made once is there. */
const WARM_SHARE = 0.25;
const MAX_GROWTH_BYTES = 24 * 2 ** 20;
/** Longest time for one request: what takes longer keeps all others waiting. */
const MAX_ANSWER_MS = 5_000;
/** Streams whose client leaves after the first piece. */
const LEFT_SHARE = 0.1;
/** Keys in Redis that stay: of the model, its queue, its ended jobs, and of files and batches. */
const MAX_LASTING_KEYS = 3_000;
const SHOWN_PROBLEMS = 5;

let bed: FuzzBed;
let others: readonly Seed[];
beforeAll(async () => {
  bed = await createFuzzBed();
  others = othersFor(bed.ids);
});
afterAll(() => bed.close());

/** Bytes that are held but for what the scripted pool keeps for tests. */
function gatewayBytes(): number {
  (bed.pool.jobs as SequenceJob[]).length = 0;
  return heldBytes();
}

/** How many requests were answered with each status. */
const statuses = new Map<number, number>();

/** Reads an answer to its end; a stream perhaps only as far as its first piece, and then it is undefined. */
async function read(response: Response, leaves: boolean): Promise<Answer | undefined> {
  const { status, headers } = response;
  statuses.set(status, (statuses.get(status) ?? 0) + 1);
  if (!leaves || !headers.get('content-type')?.startsWith('text/event-stream')) {
    return { status, headers, text: await response.text() };
  }
  const reader = response.body!.getReader();
  await reader.read();
  await reader.cancel();
  return undefined;
}

async function problemWith({ method, target, headers, body }: FuzzRequest, leaves: boolean) {
  const startedMs = performance.now();
  const request = new Request(`http://gateway${target}`, { method, headers, body });
  const answer = await read(await bed.app.fetch(request), leaves);
  const tookMs = performance.now() - startedMs;
  if (tookMs > MAX_ANSWER_MS) return `took ${tookMs} ms`;
  const problem = answer && problemOf(method, answer);
  return problem && `${answer.status} ${answer.text.slice(0, 300)} ${problem}`;
}

const shownRequest = ({ method, target, headers, body }: FuzzRequest): string =>
  [
    `${method} ${target.slice(0, 200)}`,
    JSON.stringify(headers).slice(0, 300),
    new TextDecoder().decode(body?.subarray(0, 2_000)),
  ].join('\n');

/** Sends request number `index`. @returns what went wrong, and how to do it again */
async function sendOne(index: number): Promise<string | undefined> {
  const request = fuzzRequest(others, SEED, index);
  const leaves = createDraw(~SEED, index).chance(LEFT_SHARE);
  const problem = await problemWith(request, leaves).catch((error: unknown) => `threw ${error}`);
  if (problem === undefined) return undefined;
  const replay = `JANUS_FUZZ_SEED=${SEED} JANUS_FUZZ_FIRST=${index} JANUS_FUZZ_COUNT=1`;
  return `${replay}\n${shownRequest(request)}\n→ ${problem}`;
}

/** Sends requests number `first` to `behind` by some clients at once. @returns what went wrong */
async function send(first: number, behind: number): Promise<string[]> {
  const problems: string[] = [];
  let next = first;
  const client = async (): Promise<void> => {
    while (next < behind && problems.length < SHOWN_PROBLEMS) {
      const problem = await sendOne(next++);
      if (problem !== undefined) problems.push(problem);
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  return problems;
}

/** Names of keys in Redis that do not expire. */
async function lastingKeys(): Promise<string[]> {
  const { client } = bed.redis;
  const keys = await client.keys('*');
  const lives = client.pipeline();
  for (const key of keys) lives.ttl(key);
  const replies = (await lives.exec()) ?? [];
  return keys.filter((_, index) => replies[index]?.[1] === -1);
}

/** As much of a registered path as tells it from others. */
const patternOf = (path: string): RegExp =>
  new RegExp(`^${path.replaceAll(/:\w+\{\.\+\}/g, '.+').replaceAll(/:\w+/g, '[^/]+')}$`);

test('there is a valid request for each route', () => {
  const seeds = [...GENERATIONS, ...others];
  const routes = bed.app.routes.filter(({ method }) => method !== 'ALL');
  const missing = routes.filter(
    ({ method, path }) => !seeds.some((seed) => seed.method === method && patternOf(path).test(seed.path)),
  );
  expect(routes.length).toBeGreaterThan(20);
  expect(missing.map(({ method, path }) => `${method} ${path}`)).toEqual([]);
});

describe('mutated requests', { timeout: 600_000 }, () => {
  const rejections: unknown[] = [];
  const onRejection = (reason: unknown) => rejections.push(reason);
  const names = Reflect.ownKeys(Object.prototype);
  let warmBytes: number;
  let endBytes: number;
  beforeAll(() => {
    process.on('unhandledRejection', onRejection);
  });
  afterAll(() => {
    process.off('unhandledRejection', onRejection);
  });

  test('are each answered as declared', async () => {
    const warm = FIRST + Math.floor(COUNT * WARM_SHARE);
    expect((await send(FIRST, warm)).join('\n\n')).toBe('');
    warmBytes = gatewayBytes();
    expect((await send(warm, FIRST + COUNT)).join('\n\n')).toBe('');
    endBytes = gatewayBytes();
    console.info(`fuzz: ${[...statuses].map((counted) => counted.join(': ')).join('; ')}`);
  });

  test('show no defect', () => {
    expect(bed.defects).toEqual([]);
    expect(rejections).toEqual([]);
  });

  test('pollute no prototype', () => {
    expect(Reflect.ownKeys(Object.prototype)).toEqual(names);
    for (const value of [{}, [], Object(''), () => {}]) expect('polluted' in value).toBe(false);
  });

  test('leave nothing open behind, and nothing but what is bounded', async () => {
    await vi.waitFor(() => expect(bed.openStreams()).toBe(0), { timeout: 5_000 });
    const lasting = await lastingKeys();
    expect(lasting.filter((key) => /^janus:(tokens|cancelled):/.test(key))).toEqual([]);
    expect(lasting.length).toBeLessThan(MAX_LASTING_KEYS);
    console.info(`fuzz: held ${warmBytes} → ${endBytes} bytes, ${lasting.length} lasting keys`);
    expect(endBytes - warmBytes).toBeLessThan(MAX_GROWTH_BYTES);
    // Resolves when the last generation has left.
    await bed.admission.close();
  });
});
