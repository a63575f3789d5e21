import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { packQuietly } from '../../../gpu-pool/packed/pack/pack-quietly.fixture.ts';
import { packedFormats } from '../../../gpu-pool/packed/packed-formats.ts';
import { openPacked } from '../../../gpu-pool/packed/packed-model.ts';
import { weightFormats } from '../../../gpu-pool/runtime/weights.ts';
import { writeTinyCheckpoint } from '../../../test/support/tiny-checkpoint.ts';
import { expertBytes } from './expert-bytes.ts';

function useCheckpoint(layers: number) {
  const folder = mkdtempSync(join(tmpdir(), 'janus-expert-bytes-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const config = writeTinyCheckpoint(folder, { config: { num_hidden_layers: layers } });
  return { folder, config };
}

it.each([
  { dtype: 'int4', blockSize: 32, uniform: true },
  { dtype: 'int4', blockSize: 64, uniform: false },
  { dtype: 'int8', blockSize: 32, uniform: false },
  { dtype: 'f32', uniform: false },
] as const)('are on average those that a packed model loads: %j', async ({ dtype, ...options }) => {
  const layers = 3;
  const { folder, config } = useCheckpoint(layers);
  const target = join(folder, 'packed');
  await packQuietly(folder, target, dtype, options);
  const model = openPacked(target);
  onTestFinished(() => model.close());
  const bytes = Array.from({ length: layers }, (_, layer) => model.expertBytes(layer));
  const mean = bytes.reduce((sum, each) => sum + each, 0) / layers;
  expect(expertBytes(config, packedFormats(model.manifest))).toBe(Math.ceil(mean));
});

it('are those of f32 for f16, which is a form of files only', () => {
  const { config } = useCheckpoint(1);
  const formats = packedFormats({ dtype: 'f16', blockSize: null, uniform: false });
  expect(expertBytes(config, formats)).toBe(3 * 64 * 32 * 4);
  expect(expertBytes(config, formats)).toBe(expertBytes(config, weightFormats('f32')));
});
