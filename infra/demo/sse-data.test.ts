import fc from 'fast-check';
import { expect, it } from 'vitest';
import { sseData } from './sse-data.ts';

const dataOf = (chunks: readonly Uint8Array<ArrayBuffer>[]): Promise<string[]> =>
  Array.fromAsync(sseData(ReadableStream.from(chunks) as ReadableStream<Uint8Array<ArrayBuffer>>));

it('finds the same events wherever the network cuts the stream, in the middle of a character too', async () => {
  const event = fc.record({ text: fc.string({ unit: 'binary' }) }).map((object) => JSON.stringify(object));
  await fc.assert(
    fc.asyncProperty(fc.array(event), fc.array(fc.nat()), async (events, cuts) => {
      const bytes = new TextEncoder().encode(events.map((data) => `data: ${data}\n\n`).join(''));
      const ends = cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b);
      const chunks = [...ends, bytes.length].map((end, i) => bytes.slice(ends[i - 1] ?? 0, end));
      expect(await dataOf(chunks)).toEqual(events);
    }),
  );
});

it('skips comments and an event that the stream breaks off', async () => {
  const text = ': waiting\n\ndata: 1\n\ndata: [DONE]\n\ndata: 2';
  expect(await dataOf([new TextEncoder().encode(text)])).toEqual(['1', '[DONE]']);
});

it('refuses an event without end instead of keeping it', async () => {
  const chunk = new TextEncoder().encode('x'.repeat(700_000));
  await expect(dataOf([chunk, chunk])).rejects.toThrow('more than 1048576 characters');
});
