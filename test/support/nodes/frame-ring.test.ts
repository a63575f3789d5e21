import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { seededRandom } from '../../../shared/placement/seeded-random.ts';
import { allocateRing, FRAME_LIMIT_BYTES, FrameRing } from './frame-ring.ts';

/** Frames whose length, destination and content follow from their number. */
const lengthOf = (number: number): number =>
  64 + Math.floor(seededRandom(number)() * (FRAME_LIMIT_BYTES - 64));
const destinationOf = (number: number): number => number % 5;

function put(ring: FrameRing, number: number, delayMs: number): void {
  const length = lengthOf(number);
  ring.put(
    delayMs,
    (memory) => {
      memory.fill(number % 251, 0, length);
      return length;
    },
    () => destinationOf(number),
  );
}

it('hands frames on in order, whole and to their destinations, many times round the ring', () => {
  const ring = new FrameRing(allocateRing());
  const taken: number[] = [];
  const take = (): void =>
    ring.take((frame, destination) => {
      const number = taken.length;
      expect([frame.length, destination]).toEqual([lengthOf(number), destinationOf(number)]);
      expect(frame.every((byte) => byte === number % 251)).toBe(true);
      taken.push(number);
    });
  let sent = 0;
  while (taken.length < 1_500) {
    while (sent < taken.length + 60) put(ring, sent++, 0);
    while (taken.length < sent - 3) take();
  }
});

it('drops what has no destination', () => {
  const ring = new FrameRing(allocateRing());
  ring.put(
    0,
    () => 100,
    () => undefined,
  );
  put(ring, 7, 0);
  ring.take((frame) => expect(frame.length).toBe(lengthOf(7)));
});

it('hands no frame on before its time', () => {
  const ring = new FrameRing(allocateRing());
  // The first frames teach it how late sleeps end, and are not counted.
  for (let number = 0; number < 20; number++) {
    const startedMs = performance.now();
    put(ring, number, 2);
    ring.take(() => {});
    if (number >= 10) expect(performance.now() - startedMs).toBeGreaterThan(1.6);
  }
});

it('two threads: a receiver that is faster or slower than the sender loses and invents nothing', async () => {
  const memory = allocateRing();
  const count = 20_000;
  const url = new URL('./frame-ring.ts', import.meta.url).href;
  const script = `
    const { workerData } = require('node:worker_threads');
    import(workerData.url).then(({ FrameRing }) => {
      const ring = new FrameRing(workerData.memory);
      for (let i = 0; i < workerData.count; i++) ring.put(0, (bytes) => bytes.fill(i % 251, 0, 64).length && 64, () => i);
    });`;
  const worker = new Worker(script, { eval: true, workerData: { url, memory, count } });
  const ring = new FrameRing(memory);
  for (let i = 0; i < count; i++) {
    ring.take((frame, destination) => {
      if (destination !== i || frame.length !== 64 || frame[63] !== i % 251) {
        throw new Error(`frame ${i} came as ${destination}, ${frame.length} bytes`);
      }
    });
  }
  await worker.terminate();
});
