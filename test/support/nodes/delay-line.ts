import { openSync, readSync, writeSync } from 'node:fs';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { allocateRing, FrameRing } from './frame-ring.ts';

/**
 * A switch between nodes that holds every frame for a while: what `tc netem` does, for kernels without it. It is a program
 * of its own, `delay-line.ts <ms> <device>…`, one macvtap device per node; it runs until it is killed. Two threads per node, one
 * that waits for frames and one that waits for their time, so that nothing but the kernel's timer bounds the precision.
 *
 * Node `n` has the Ethernet address {@link nodeMac}`(n)`, which is all that the switch looks at.
 */

/** Header (`virtio_net_hdr`) that a macvtap device puts before each frame. Handed on as it is, so large segments stay whole. */
const DEVICE_HEADER_BYTES = 10;
/** Of an Ethernet destination address, which leads the frame: its last byte. */
const NODE_OFFSET = DEVICE_HEADER_BYTES + 5;
const MULTICAST_BIT = 1;

/** Ethernet address of a node, locally administered. */
export const nodeMac = (node: number): string => `02:00:00:00:00:${node.toString(16).padStart(2, '0')}`;

interface ThreadData {
  readonly role: 'receive' | 'send';
  readonly devices: readonly number[];
  readonly node: number;
  readonly delayMs: number;
  readonly ring: SharedArrayBuffer;
}

function receiveForever({ devices, node, delayMs, ring: memory }: ThreadData): never {
  const ring = new FrameRing(memory);
  const device = devices[node]!;
  for (;;) {
    ring.put(
      delayMs,
      (frame) => readSync(device, frame),
      (frame) => {
        const isMulticast = (frame[DEVICE_HEADER_BYTES]! & MULTICAST_BIT) !== 0;
        const destination = frame[NODE_OFFSET]!;
        return isMulticast || destination >= devices.length ? undefined : destination;
      },
    );
  }
}

function sendForever({ devices, ring: memory }: ThreadData): never {
  const ring = new FrameRing(memory);
  for (;;) ring.take((frame, destination) => writeSync(devices[destination]!, frame));
}

function main(args: readonly string[]): void {
  const [delayMs, ...paths] = args;
  const devices = paths.map((path) => openSync(path, 'r+'));
  let started = 0;
  for (const node of devices.keys()) {
    const ring = allocateRing();
    for (const role of ['receive', 'send'] as const) {
      const data: ThreadData = { role, devices, node, delayMs: Number(delayMs), ring };
      const worker = new Worker(new URL(import.meta.url), { workerData: data });
      worker.once('online', () => {
        started++;
        if (started === 2 * devices.length) console.log('ready');
      });
    }
  }
}

if (!isMainThread) {
  const data = workerData as ThreadData;
  if (data.role === 'receive') receiveForever(data);
  else sendForever(data);
} else if (import.meta.main) main(process.argv.slice(2));
