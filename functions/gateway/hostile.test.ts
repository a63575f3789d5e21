import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { heldBytes } from '../../test/support/fuzz/held-bytes.ts';
import { problemOfError } from '../../test/support/fuzz/oracle.ts';
import { type BatchBed, createBatchBed } from '../../test/support/gateway/batch-bed.ts';
import { answer } from '../../test/support/gateway/scripted-pool.ts';
import {
  answersIn,
  type Exchange,
  exchange,
  open,
  type RawAnswer,
} from '../../test/support/hostile/raw-client.ts';
import { hostileShape, SANE } from '../../test/support/hostile/shapes.ts';

/** `JANUS_HOSTILE_SEED` makes other shapes. */
const SEED = Number(process.env.JANUS_HOSTILE_SEED ?? 1);
const SHAPES = 1_000;
const CLIENTS = 64;

const TIMEOUTS = { headersMs: 400, requestMs: 1_500, uploadMs: 2_000, checkMs: 50 };
/** Beyond a timeout: until the connection has ended, on a machine that is busy. */
const SLACK_MS = 3_000;
const LIMIT_MS = TIMEOUTS.uploadMs + TIMEOUTS.checkMs + SLACK_MS;
/** What a thousand shapes may leave behind; the scripted pool keeps their jobs. */
const MAX_GROWTH_BYTES = 24 * 2 ** 20;
/** Clients of each kind that are slow on purpose. */
const SLOW_CLIENTS = 30;
const DRIP_MS = 100;
/** Clients of each kind that send without end, and what each of them sends in all. */
const FLOODS = 3;
const FLOOD_CHUNKS = 512;
const FLOOD_CHUNK = Buffer.from(`10000\r\n${' '.repeat(65_536)}\r\n`);
/** Longest that an honest client waits while others are slow on purpose. */
const HONEST_MS = 1_000;

/** All that is answered while Redis and the pool work; the 400 for a lacking `Host` is Node's own. */
const DECLARED: ReadonlySet<number> = new Set([200, 400, 404, 405, 408, 413, 417, 429, 431, 503]);

const errors: unknown[] = [];
let bed: BatchBed;
let port: number;
/** Sockets of this process when nobody is connected. */
let sockets: number;
beforeAll(async () => {
  const limits = { fileBytes: 256 * 1024, lineBytes: 64 * 1024, fileLines: 1_000, files: 5 };
  const log = { warn() {}, error: (...entry: unknown[]) => void errors.push(entry) };
  bed = await createBatchBed(limits, { timeouts: TIMEOUTS, log });
  bed.pool.play(({ choice }, emit) => emit(...answer(choice, ['a'])));
  port = bed.gateway.port;
  await exchange(port, SANE, LIMIT_MS);
  await sleep(100);
  sockets = openSockets();
});
afterAll(() => bed.close());

const openSockets = (): number =>
  process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;

/** What Node answers by itself has no body, or one of no chunks. */
const NO_BODY: readonly string[] = ['', '0\r\n\r\n'];

function problemOf({ answers, hung }: Exchange): string | undefined {
  if (hung) return 'hung';
  for (const { status, body } of answers) {
    if (!DECLARED.has(status)) return `answered ${status}: ${body}`;
    const problem = status < 400 || NO_BODY.includes(body) ? undefined : problemOfError(body);
    if (problem !== undefined) return `answered ${status}, and the body ${problem}: ${body}`;
  }
  return undefined;
}

async function expectSane(): Promise<void> {
  const { answers } = await exchange(port, SANE, LIMIT_MS);
  expect(answers.map(({ status }) => status)).toEqual([200]);
  expect(answers[0]!.body).toContain('chat.completion');
}

/** A sane request still works, nobody is connected any more, and nothing was a defect. */
async function expectUnharmed(): Promise<void> {
  await expectSane();
  await vi.waitFor(() => expect(openSockets()).toBeLessThanOrEqual(sockets), { timeout: SLACK_MS });
  expect(errors).toEqual([]);
}

test('a thousand hostile shapes are each refused or answered, in time', { timeout: 120_000 }, async () => {
  const before = heldBytes();
  const problems: string[] = [];
  const statuses = new Map<string, number>();
  let next = 0;
  const client = async (): Promise<void> => {
    while (next < SHAPES) {
      const index = next++;
      const shape = hostileShape(SEED, index);
      const result = await exchange(port, shape, LIMIT_MS);
      const told = result.answers.map(({ status }) => status).join() || 'ended';
      statuses.set(told, (statuses.get(told) ?? 0) + 1);
      const problem = problemOf(result);
      if (problem === undefined) continue;
      const sent = JSON.stringify(Buffer.concat(shape.pieces).toString('latin1').slice(0, 500));
      problems.push(`JANUS_HOSTILE_SEED=${SEED}, shape ${index} (${shape.name}) ${problem}\n${sent}`);
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  console.info(`hostile: ${[...statuses].map(([told, count]) => `${told}: ${count}`).join('; ')}`);
  expect(problems.slice(0, 5).join('\n\n')).toBe('');
  for (const status of ['200', '400', '404', '405', '408', '431']) expect(statuses.has(status)).toBe(true);
  await expectUnharmed();
  expect(heldBytes() - before).toBeLessThan(MAX_GROWTH_BYTES);
});

const closeOf = (socket: Socket): Promise<void> =>
  new Promise((resolve) => socket.once('close', () => resolve()));

/** Milliseconds until the server has ended the connection of a client that sends a little all the time, and never stops. */
async function msUntilEnded(head: string, drip: string): Promise<number> {
  const startedMs = performance.now();
  const socket = open(port);
  const closed = closeOf(socket);
  socket.resume();
  socket.write(head);
  // Who sends nothing learns of the end by the other side's alone.
  if (drip === '') socket.once('end', () => socket.destroy());
  const dripping = setInterval(() => socket.writable && socket.write(drip), DRIP_MS);
  await closed;
  clearInterval(dripping);
  return performance.now() - startedMs;
}

const head = (path: string, ...lines: string[]) =>
  `POST ${path} HTTP/1.1\r\nHost: a\r\n${lines.map((line) => `${line}\r\n`).join('')}`;
const CHUNKED = 'Transfer-Encoding: chunked';
const FORM = 'Content-Type: multipart/form-data; boundary=b';

test('clients that are slow on purpose are cut off, and keep nobody waiting', async () => {
  const json = `${head('/v1/chat/completions', 'Content-Length: 90000')}\r\n{`;
  const slow: readonly (readonly [limitMs: number, head: string, drip: string])[] = [
    [TIMEOUTS.headersMs, head('/v1/chat/completions'), 'X: y\r\n'],
    [TIMEOUTS.headersMs, 'GET /health HTTP/1.1\r\nHost: a\r\n', 'a'],
    [TIMEOUTS.headersMs, '', ''],
    [TIMEOUTS.headersMs, '', '\r\n'],
    [TIMEOUTS.requestMs, json, ' '],
    [TIMEOUTS.requestMs, json, ''],
    [TIMEOUTS.requestMs, `${head('/v1/responses', CHUNKED)}\r\n`, '1\r\n \r\n'],
    [TIMEOUTS.uploadMs, `${head('/v1/files', FORM, CHUNKED)}\r\n`, '1\r\n-\r\n'],
  ];
  const clients = slow.flatMap((how) => Array.from({ length: SLOW_CLIENTS }, () => how));
  let left = clients.length;
  const lateMs = Promise.all(
    clients.map(async ([limitMs, sent, drip]) => {
      const tookMs = await msUntilEnded(sent, drip);
      left -= 1;
      return tookMs - limitMs;
    }),
  );
  const waits: number[] = [];
  while (left > 0) {
    const startedMs = performance.now();
    await expectSane();
    waits.push(performance.now() - startedMs);
    await sleep(20);
  }
  expect(waits.length).toBeGreaterThan(5);
  expect(Math.max(...waits)).toBeLessThan(HONEST_MS);
  expect(Math.max(...(await lateMs))).toBeLessThan(TIMEOUTS.checkMs + SLACK_MS);
  await expectUnharmed();
});

/** Sends far more than is taken, as fast as it is taken. @returns what was answered */
async function flood(sent: string): Promise<readonly RawAnswer[]> {
  const socket = open(port);
  const closed = closeOf(socket);
  let received = '';
  socket.on('data', (bytes: Buffer) => {
    received += bytes.toString('latin1');
  });
  socket.once('end', () => socket.destroy());
  socket.write(sent);
  for (let count = 0; count < FLOOD_CHUNKS && socket.writable; count++) {
    if (socket.write(FLOOD_CHUNK)) continue;
    await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed]);
  }
  await closed;
  return answersIn(received);
}

test('bodies without end are refused, and not kept', async () => {
  const before = heldBytes();
  let most = before;
  const sampling = setInterval(() => {
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    most = Math.max(most, heapUsed + arrayBuffers);
  }, 10);
  const form = `${head('/v1/files', FORM, CHUNKED)}\r\n`;
  const heads = [`${head('/v1/chat/completions', CHUNKED)}\r\n`, form];
  const answers = await Promise.all(
    heads.flatMap((sent) => Array.from({ length: FLOODS }, () => flood(sent))),
  );
  clearInterval(sampling);
  const statuses = answers.flat().map(({ status }) => status);
  expect(statuses).toContain(413);
  expect(statuses).toContain(400);
  // The last one where the machine is too slow for so much in the time that there is.
  for (const status of statuses) expect([400, 413, 408]).toContain(status);
  console.info(`flood: ${statuses.join()}, ${most - before} bytes more at most`);
  expect(most - before).toBeLessThan((heads.length * FLOODS * FLOOD_CHUNKS * FLOOD_CHUNK.length) / 2);
  await expectUnharmed();
});
