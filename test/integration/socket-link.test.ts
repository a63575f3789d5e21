import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, onTestFinished, test } from 'vitest';
import { allocateStep } from '../../gpu-pool/exchange/exchange.ts';
import { FrameSocket } from '../../gpu-pool/exchange/frame-socket.ts';
import {
  decodeWelcome,
  EXCHANGE_PROTOCOL,
  encodeHandshake,
  type Hello,
} from '../../gpu-pool/exchange/handshake.ts';
import { PeerLostError } from '../../gpu-pool/exchange/link.ts';
import { SocketLink } from '../../gpu-pool/exchange/socket-link.ts';
import {
  EXPERTS,
  fillStep,
  HOST,
  LAYERS,
  MODEL,
  PLACEMENT_VERSION,
  referenceOutput,
  SHAPE,
} from '../support/exchange/link-harness.ts';
import { type SocketHarness, startSocketHarness } from '../support/exchange/socket-harness.ts';

const HELLO: Hello = {
  protocol: EXCHANGE_PROTOCOL,
  model: MODEL,
  layers: LAYERS,
  hiddenSize: SHAPE.hiddenSize,
  expertsPerToken: SHAPE.expertsPerToken,
  attention: 'stranger',
};

async function open(): Promise<SocketHarness> {
  const harness = await startSocketHarness('unix', { instances: 2, overdueAfterMs: 10_000 });
  onTestFinished(() => harness.close());
  return harness;
}

function step() {
  const made = allocateStep(SHAPE);
  made.placementVersion = PLACEMENT_VERSION;
  fillStep(made, SHAPE, EXPERTS, 5, Math.random);
  return made;
}

async function expectRightAnswer(link: SocketLink): Promise<void> {
  const sent = step();
  const output = new Float32Array(SHAPE.maxRows * SHAPE.hiddenSize);
  await link.exchange(sent, output);
  expect(output.subarray(0, sent.rows * SHAPE.hiddenSize)).toEqual(referenceOutput(sent, SHAPE));
}

/** Connects and sends one frame; resolves to the frame that comes back, or to why the connection ended. */
function converse({ address }: SocketHarness, frame: Uint8Array): Promise<Buffer | string> {
  return new Promise((resolve) => {
    const socket = connect(address as { path: string });
    const connection = new FrameSocket(socket, 4_096, (answer) => resolve(Buffer.from(answer)), resolve);
    connection.send(frame);
    onTestFinished(() => connection.destroy());
  });
}

test.each<[string, Partial<Hello>, RegExp]>([
  ['another model', { model: 'other' }, /serves model other, this host conformance/],
  ['another version of the exchange', { protocol: EXCHANGE_PROTOCOL + 1 }, /run the same Janus/],
  ['another hidden size', { hiddenSize: 21 }, /hiddenSize 21, this host's 20/],
  ['another number of layers', { layers: 4 }, /layers 4, this host's 3/],
])('a peer of %s is refused with the reason', async (_, differs, reason) => {
  const harness = await open();
  const answer = await converse(harness, encodeHandshake({ ...HELLO, ...differs }));
  expect(decodeWelcome(answer as Buffer)).toMatchObject({ refused: expect.stringMatching(reason) });
  await expectRightAnswer(harness.link);
});

test('a link of another model ends its step with the reason', async () => {
  const { address } = await open();
  const hello = { model: 'other', layers: LAYERS, attention: 'stranger' };
  const link = new SocketLink({ host: HOST, address, shape: SHAPE, hello, overdueAfterMs: 10_000 });
  const output = new Float32Array(SHAPE.maxRows * SHAPE.hiddenSize);
  const error = await link.exchange(step(), output).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(PeerLostError);
  expect((error as Error).message).toMatch(/refused the connection: it serves model other/);
  await link.close();
});

test.each<[string, (harness: SocketHarness) => Promise<Buffer | string>]>([
  ['no hello', (harness) => converse(harness, Buffer.from('GET / HTTP/1.1'))],
  ['a frame over the limit', (harness) => converse(harness, Buffer.alloc(100_000))],
])('%s ends that connection, and no other', async (_, disturb) => {
  const harness = await open();
  await expectRightAnswer(harness.link);
  const answer = await disturb(harness);
  if (typeof answer !== 'string') expect(decodeWelcome(answer)).toHaveProperty('refused');
  await expectRightAnswer(harness.link);
});

/** A way in between that can be cut. */
let relay: Server | undefined;
afterEach(() => relay?.close());

test('a step whose connection breaks is sent again over a new one', async () => {
  const harness = await open();
  const folder = await mkdtemp(join(tmpdir(), 'janus-relay-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  let cut = 0;
  relay = createServer((socket) => {
    const onward = connect(harness.address as { path: string });
    socket.on('error', () => {});
    onward.on('error', () => {});
    onward.on('close', () => socket.destroy());
    socket.on('close', () => onward.destroy());
    onward.pipe(socket);
    let frames = 0;
    socket.on('data', (chunk) => {
      // The hello passes. The first step is cut off under way.
      if (++frames > 1 && cut++ === 0) return socket.destroy();
      onward.write(chunk);
    });
  });
  const path = join(folder, 'relay.sock');
  relay.listen(path);
  await once(relay, 'listening');
  const hello = { model: MODEL, layers: LAYERS, attention: 'attention-1' };
  const link = new SocketLink({ host: HOST, address: { path }, shape: SHAPE, hello, overdueAfterMs: 5_000 });
  await expectRightAnswer(link);
  expect(cut).toBeGreaterThan(0);
  expect(link.statistics).toMatchObject({ layerSteps: 1, messagesSent: 2 });
  await expectRightAnswer(link);
  await link.close();
});

/** Over what a busy machine takes to answer a probe, and under the bound of an answer. */
const SILENCE_LIMIT_MS = 600;

function openImpatient(address: SocketHarness['address']): SocketLink {
  const hello = { model: MODEL, layers: LAYERS, attention: 'attention-1' };
  const limits = { overdueAfterMs: 10_000, silenceLimitMs: SILENCE_LIMIT_MS };
  const link = new SocketLink({ host: HOST, address, shape: SHAPE, hello, ...limits });
  onTestFinished(() => link.close());
  return link;
}

test('a host that gives no sign of life is given up long before its answer is overdue', async () => {
  const harness = await open();
  const folder = await mkdtemp(join(tmpdir(), 'janus-relay-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  let isSilent = false;
  relay = createServer((socket) => {
    const onward = connect(harness.address as { path: string });
    for (const end of [socket, onward]) end.on('error', () => {});
    socket.on('close', () => onward.destroy());
    onward.on('data', (chunk) => isSilent || socket.write(chunk));
    socket.on('data', (chunk) => onward.write(chunk));
  });
  const path = join(folder, 'relay.sock');
  relay.listen(path);
  await once(relay, 'listening');
  const link = openImpatient({ path });
  await expectRightAnswer(link);
  isSilent = true;
  const startedAtMs = performance.now();
  const output = new Float32Array(SHAPE.maxRows * SHAPE.hiddenSize);
  const error = await link.exchange(step(), output).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(PeerLostError);
  expect(error).toMatchObject({ lost: 'host', what: expect.stringMatching(/silent for 600 ms/) });
  expect(performance.now() - startedAtMs).toBeLessThan(5 * SILENCE_LIMIT_MS);
  isSilent = false;
  await expectRightAnswer(link);
});

test('whoever watches a host is told that its connection has ended, be it before', async () => {
  const harness = await open();
  await expectRightAnswer(harness.link);
  const told: PeerLostError[] = [];
  const endFirst = harness.link.watch(0, (error) => told.push(error));
  await harness.losePeer(0);
  await expect.poll(() => told.length).toBe(1);
  endFirst();
  const endSecond = harness.link.watch(0, (error) => told.push(error));
  await expect.poll(() => told.length).toBe(2);
  endSecond();
  expect(told.every((error) => error instanceof PeerLostError)).toBe(true);
});

test('a host whose instances take long, but which lives, is waited for', async () => {
  const harness = await open();
  const link = openImpatient(harness.address);
  harness.setBehaviour('silent');
  const sent = step();
  const output = new Float32Array(SHAPE.maxRows * SHAPE.hiddenSize);
  const answered = link.exchange(sent, output);
  const late = sleep(2 * SILENCE_LIMIT_MS, 'late');
  expect(await Promise.race([answered, late])).toBe('late');
  harness.setBehaviour('compute');
  await answered;
  expect(output.subarray(0, sent.rows * SHAPE.hiddenSize)).toEqual(referenceOutput(sent, SHAPE));
});
