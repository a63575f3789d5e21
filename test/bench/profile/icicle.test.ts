import { expect, it } from 'vitest';
import { drawIcicles } from './icicle.ts';
import type { BatchProfile } from './report.ts';

const leaf = (name: string, ms: number) => ({ name, ms, parts: [] });
const BATCH: BatchProfile = {
  batch: 3,
  profile: {
    steps: 10,
    layers: 2,
    step: {
      name: 'step',
      ms: 8,
      parts: [
        leaf('embed', 2),
        {
          name: 'all layers',
          ms: 6,
          parts: [leaf('pre', 1), { name: 'experts', ms: 5, parts: [leaf('waiting', 5)] }],
        },
      ],
    },
    experts: [
      { thread: 'expert instance 0', groupsPerLayerStep: 4, usPerGroup: 500, msPerStep: 4 },
      { thread: 'attention instance, assisting', groupsPerLayerStep: 0, usPerGroup: 0, msPerStep: 0 },
    ],
    storeMs: 1,
  },
  stepRangeMs: [8, 8],
  tokensPerSecond: 375,
  tpotP50Ms: 8,
  tpotP99Ms: 9,
  tokens: 20,
  requests: [{ acceptMs: 1, queueMs: 1, firstTokenMs: 1, readMs: [20, 20, 20] }],
};

/** Beginning and end of each box, as shares of the step's width, in the order in which they are drawn. */
function boxes(svg: string): [name: string, from: number, to: number][] {
  const found = svg.matchAll(/<title>([^<]*)<\/title><rect x="([\d.]+)" y="\d+" width="([\d.]+)"/g);
  const all = [...found].map(([, title, x, width]) => ({
    title: title!,
    x: Number(x),
    width: Number(width),
  }));
  const full = all[0]!.width;
  return all.map(({ title, x, width }) => [title.split(/ [\d.]+ ms/)[0]!, x / full, (x + width) / full]);
}

it('gives each part its share of the width, in the order of time, under what it is part of', () => {
  expect(boxes(drawIcicles([BATCH]))).toEqual([
    ['step', 0, 1],
    ['embed', 0, 0.25],
    ['all layers', 0.25, 1],
    ['pre', 0.25, 0.375],
    ['experts', 0.375, 1],
    ['waiting', 0.375, 1],
    // On the other thread, from where the attention instance waits for it.
    ['experts', 0.375, 0.875],
    ['stored in Redis', 0, 0.125],
    // Longer than a step: cut off at its end.
    ['read by its client', 0.125, 1],
  ]);
});

it('draws a panel per batch', () => {
  const svg = drawIcicles([BATCH, { ...BATCH, batch: 32 }]);
  expect(svg).toContain('batch 3:');
  expect(svg).toContain('batch 32:');
  expect(svg.match(/<title>step /g)).toHaveLength(2);
});
