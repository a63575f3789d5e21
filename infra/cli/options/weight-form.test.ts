import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packQuietly } from '../../../gpu-pool/packed/pack/pack-quietly.fixture.ts';
import type { PackedDtype } from '../../../gpu-pool/packed/packed-formats.ts';
import { writeTinyCheckpoint } from '../../../test/support/tiny-checkpoint.ts';
import { addPoolOptions, type PoolFlags, toPoolSettings } from './pool-options.ts';

let root: string;
const folderOf = (dtype: PackedDtype): string => join(root, dtype);

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'janus-weight-form-'));
  writeTinyCheckpoint(root);
  for (const dtype of ['int4', 'int8', 'f16'] as const) await packQuietly(root, folderOf(dtype), dtype);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Form of the weights of a host that is started with these flags. */
function formOf(...args: string[]): string {
  const command = addPoolOptions(new Command()).parse(args, { from: 'user' });
  return toPoolSettings(command.opts<PoolFlags>(), 'both').model.weightForm;
}

describe('the form of the weights', () => {
  it('of a checkpoint is what --dtype says, else f32', () => {
    expect(formOf('--model', root)).toBe('f32');
    expect(formOf('--model', root, '--dtype', 'int8')).toBe('int8');
  });

  it.each([
    ['int4', 'int4'],
    ['int8', 'int8'],
    ['f16', 'f32'],
  ] as const)('of a model that was packed as %s is %s, which --dtype may repeat', (dtype, form) => {
    const model = ['--model', folderOf(dtype)];
    expect(formOf(...model)).toBe(form);
    expect(formOf(...model, '--dtype', form)).toBe(form);
  });

  it('is no other than that of a packed model: the error names both, the folder and what to do', () => {
    expect(() => formOf('--model', folderOf('int4'), '--dtype', 'int8')).toThrow(
      /^--dtype is int8, but \S+\/int4 holds a model that was packed as int4: leave out --dtype, or .*pack --dtype int8/,
    );
    expect(() => formOf('--model', folderOf('int4'), '--dtype', 'f32')).toThrow(/--dtype is f32.*as int4/);
    expect(() => formOf('--model', folderOf('f16'), '--dtype', 'int4')).toThrow(/as f16, .* f32 in memory/);
  });
});
