import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { packQuietly } from '../../gpu-pool/packed/pack/pack-quietly.fixture.ts';
import { GOLDEN_CASES } from '../support/golden.ts';
import { Scorer } from '../support/scorer.ts';
import { DICTIONARY_FOLDER } from '../support/test-host.ts';

const CASES = GOLDEN_CASES.slice(0, 12);

/** Log probabilities of the reference's answers. */
async function scores(
  folder: string,
  form: 'f32' | 'int8' | 'int4',
  provider: 'wasm' | 'onnx',
): Promise<number[]> {
  const scorer = Scorer.open(folder, form, provider);
  const all: number[] = [];
  for (const { prompt_ids, generated_ids } of CASES) {
    all.push(...(await scorer.score(prompt_ids, generated_ids)).logProbabilities);
  }
  return all;
}

const meanDifference = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, value, i) => sum + Math.abs(value - b[i]!), 0) / a.length;

test.each(['int8', 'int4'] as const)(
  '%s: kernels and ONNX Runtime compute the same model, and a packed model is the checkpoint',
  async (form) => {
    const onnx = await scores(DICTIONARY_FOLDER, form, 'onnx');
    const wasm = await scores(DICTIONARY_FOLDER, form, 'wasm');
    // They round activations alike but not in the same way: a row's error is far below that of the weights.
    expect(meanDifference(wasm, onnx)).toBeLessThan(0.02);
    const folder = await mkdtemp(join(tmpdir(), 'janus-kernels-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    await packQuietly(DICTIONARY_FOLDER, join(folder, 'packed'), form);
    expect(await scores(join(folder, 'packed'), form, 'wasm')).toEqual(wasm);
    expect(await scores(join(folder, 'packed'), form, 'onnx')).toEqual(onnx);
  },
  120_000,
);

test('int8 with one scale per row is the same model too, near the one in f32', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'janus-kernels-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const packed = join(folder, 'packed');
  await packQuietly(DICTIONARY_FOLDER, packed, 'int8', { blockSize: 128, uniform: true });
  const [wasm, onnx] = [await scores(packed, 'int8', 'wasm'), await scores(packed, 'int8', 'onnx')];
  expect(meanDifference(wasm, onnx)).toBeLessThan(0.02);
  expect(meanDifference(wasm, await scores(DICTIONARY_FOLDER, 'f32', 'onnx'))).toBeLessThan(0.03);
}, 120_000);
