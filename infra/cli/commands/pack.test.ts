import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isPacked, openPacked } from '../../../gpu-pool/packed/packed-model.ts';
import { type Program, usePrograms } from '../../../test/support/program.ts';
import { writeTinyCheckpoint } from '../../../test/support/tiny-checkpoint.ts';

const MODEL = 'dictionary-moe';
const janus = usePrograms('infra/cli/janus.ts');
let folder: string;
let target: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'janus-pack-cli-'));
  target = join(folder, 'packed');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const start = (...flags: string[]): Program => janus(['pack', MODEL, '--out', target, ...flags]);

/** The hidden folder of a run that has written some of its weights, but is not done. */
async function half(): Promise<string> {
  for (;;) {
    const name = readdirSync(folder).find((entry) => entry.startsWith('.packed.packing-'));
    const path = join(folder, name ?? '');
    // The file is as long as it will be from the start; blocks of the disk come with its content.
    const written = statSync(join(path, 'attention.bin'), { throwIfNoEntry: false });
    if (name !== undefined && written !== undefined && written.blocks > 0) return path;
    await sleep(1);
  }
}

describe('janus pack', () => {
  it('packs, says so, and says that it is up to date the next time', async () => {
    const first = await start('--dtype', 'int4', '--block-size', '64').ended;
    expect(first).toMatchObject({ status: 0 });
    expect(first.stdout).toMatch(/^packing 12\.\d M weights of dictionary-moe as int4, \d+\.\d MiB\n/);
    expect(first.stdout).toMatch(/\npacked \S+packed in \d+\.\d s: 200 groups in 9 files\n$/);
    const model = openPacked(target);
    expect(model.manifest).toMatchObject({ dtype: 'int4', blockSize: 64 });
    model.close();
    const second = await start('--dtype', 'int4', '--block-size', '64').ended;
    expect(second).toMatchObject({ status: 0, stderr: '' });
    expect(second.stdout).toMatch(/^\S+packed is up to date \(--force packs it again\)\n$/);
    expect((await start('--dtype', 'int4', '--force').ended).stdout).toMatch(/\npacked /);
  });

  it('that was killed in the middle leaves nothing that opens, and the next run cleans up after it', async () => {
    const killed = start('--dtype', 'f32');
    const left = await half();
    killed.kill('SIGKILL');
    expect(await killed.ended).toMatchObject({ signal: 'SIGKILL' });
    expect(existsSync(target)).toBe(false);
    expect(isPacked(left)).toBe(false);
    expect(() => openPacked(left)).toThrow(/is not a packed model/);

    expect((await start('--dtype', 'int4').ended).status).toBe(0);
    expect(readdirSync(folder)).toEqual(['packed']);
    openPacked(target).close();
  });

  it('that is told to stop cleans up after itself', async () => {
    const stopped = start('--dtype', 'f32');
    await half();
    stopped.kill('SIGTERM');
    const { status, stderr } = await stopped.ended;
    expect(stderr).toMatch(/^janus: SIGTERM: stopped before the packed model was whole/m);
    expect(status).toBe(1);
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each<[string, readonly string[], RegExp]>([
    ['no dtype', [MODEL], /--dtype is missing; give one of int4, int8, f16, f32/],
    ['a dtype that does not exist', [MODEL, '--dtype', 'int3'], /--dtype is "int3"; give one of int4/],
    ['a block size that does not exist', [MODEL, '--block-size', '48'], /--block-size is "48".*32, 64, 128/],
    ['a block size of what has none', [MODEL, '--dtype', 'f16', '--block-size', '64'], /leave it out with/],
    [
      'a block size of rows that have one scale',
      [MODEL, '--dtype', 'int8', '--uniform', '--block-size', '64'],
      /leave --block-size out/,
    ],
    ['a uniform form of what has none', [MODEL, '--dtype', 'f32', '--uniform'], /--uniform is for int4/],
    [
      'a model that does not exist',
      ['no-such', '--dtype', 'int4'],
      /^janus: <model>: .*no-such does not exist/,
    ],
    ['an empty folder name', [MODEL, '--dtype', 'int4', '--out', ''], /--out is empty/],
  ])('ends with status 1 and one clear message: %s', async (_, args, message) => {
    const { status, stdout, stderr } = await janus(['pack', ...args]).ended;
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  it('does not touch a packed model of another checkpoint', async () => {
    const other = mkdtempSync(join(folder, 'other-'));
    writeTinyCheckpoint(other);
    expect((await janus(['pack', other, '--dtype', 'int4', '--out', target]).ended).status).toBe(0);
    const { status, stderr } = await start('--dtype', 'int4').ended;
    expect(stderr).toMatch(/another packed model: it was packed from another checkpoint.*--force/);
    expect(status).toBe(1);
  });
});
