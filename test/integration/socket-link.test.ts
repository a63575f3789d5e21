import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
