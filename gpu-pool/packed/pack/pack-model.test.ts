import fs from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { modelTensors, roleTensors } from '../../../shared/model/tensors.ts';
import { type TensorToWrite, writeSafetensors } from '../../../test/support/safetensors-file.ts';
import { writeTinyCheckpoint } from '../../../test/support/tiny-checkpoint.ts';
import { Checkpoint } from '../../checkpoint/checkpoint.ts';
import type { PackedDtype } from '../packed-formats.ts';
import { isPacked, openPacked } from '../packed-model.ts';
import { packQuietly, type QuietOptions } from './pack-quietly.fixture.ts';

const HOUR_MS = 3_600_000;

let temporary: string;
let source: string;
let target: string;
beforeEach(() => {
  temporary = fs.mkdtempSync(join(tmpdir(), 'janus-pack-'));
  source = join(temporary, 'source');
  target = join(temporary, 'packed');
  fs.mkdirSync(source);
  writeTinyCheckpoint(source);
});
afterEach(() => fs.rmSync(temporary, { recursive: true }));

const pack = (dtype: PackedDtype = 'int4', options: QuietOptions = {}) =>
  packQuietly(source, target, dtype, options);

/** What lies beside the checkpoint. */
const found = (): string[] => fs.readdirSync(temporary).filter((name) => name !== 'source');

async function expectRefusal(packing: Promise<unknown>, message: RegExp): Promise<void> {
  const error = await packing.then(
    () => null,
    (reason) => reason,
  );
  expect(error).toBeInstanceOf(JanusError);
  expect(error.message).toMatch(message);
}

/** Writes the checkpoint again with one tensor changed. */
function changeTensor(changed: string, change: (weights: Float32Array) => void): void {
  const checkpoint = Checkpoint.open(source);
  const { config } = openConfig();
  const tensors = [...roleTensors(config, 'both')].map(({ name, shape }): TensorToWrite => {
    const weights = checkpoint.readFloat32(name, shape);
    if (name === changed) change(weights);
    return { name, dtype: 'F32', shape, bytes: new Uint8Array(weights.buffer) };
  });
  checkpoint.close();
  writeSafetensors(join(source, 'model.safetensors'), tensors);
}

function openConfig() {
  const folder = fs.mkdtempSync(join(temporary, 'config-'));
  const config = writeTinyCheckpoint(folder);
  fs.rmSync(folder, { recursive: true });
  return { config, tensors: modelTensors(config) };
}

describe('packModel', () => {
  it('leaves nothing but the packed model, and tells how far it is', async () => {
    const seen: number[] = [];
    let announced = 0;
    const result = await pack('int4', {
      events: {
        onStart: (weights) => {
          announced = weights;
        },
        onProgress: (done, weights) => {
          expect(weights).toBe(announced);
          seen.push(done);
        },
      },
    });
    expect(result.kind).toBe('packed');
    expect(found()).toEqual(['packed']);
    expect(seen.at(-1)).toBe(announced);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
  });

  it('writes the same files whatever the number of threads', async () => {
    await pack('int4', { threads: 1 });
    const read = () =>
      fs.readdirSync(target).map((name) => fs.readFileSync(join(target, name)).toString('hex'));
    const alone = read();
    await pack('int4', { threads: 5, force: true });
    expect(read()).toEqual(alone);
  });

  it('packs once, and again when it is forced', async () => {
    await pack();
    const at = () => fs.statSync(join(target, 'manifest.json')).ino;
    const first = at();
    expect(await pack()).toEqual({ kind: 'up to date' });
    expect(at()).toBe(first);
    const reader = openPacked(target);
    expect((await pack('int4', { force: true })).kind).toBe('packed');
    expect(at()).not.toBe(first);
    expect(found()).toEqual(['packed']);
    // Who had the replaced model open goes on to read it.
    reader.readExpert(0, 0, new Uint8Array(reader.expertBytes(0)));
    reader.close();
  });

  it('takes an empty folder', async () => {
    fs.mkdirSync(target);
    await pack();
    expect(isPacked(target)).toBe(true);
  });

  it('stops when it is told to, and leaves nothing', async () => {
    const controller = new AbortController();
    const reason = new JanusError('enough');
    const events = { onStart: () => undefined, onProgress: () => controller.abort(reason) };
    await expect(pack('int4', { signal: controller.signal, events })).rejects.toBe(reason);
    expect(found()).toEqual([]);
  });
});

describe('packModel does not take a packed model for up to date', () => {
  beforeEach(async () => {
    await pack();
  });

  it.each<[string, () => void, RegExp]>([
    [
      'when the weights were trained on',
      () => writeTinyCheckpoint(source, { seed: 2 }),
      /checkpoint has changed/,
    ],
    [
      'when the tokenizer has changed',
      () => fs.appendFileSync(join(source, 'tokenizer.json'), ' '),
      /changed/,
    ],
    [
      'when a chat template has come',
      () => fs.writeFileSync(join(source, 'chat_template.jinja'), '{{ messages }}'),
      /checkpoint has changed/,
    ],
    [
      'when one of its files was cut off',
      () => fs.truncateSync(join(target, 'head.bin'), 5),
      /head\.bin has 5 bytes/,
    ],
  ])('%s, and replaces it only when it is forced', async (_, change, message) => {
    change();
    const before = fs.readFileSync(join(target, 'manifest.json'), 'utf8');
    await expectRefusal(pack(), /packed holds another packed model: .*--force/);
    await expectRefusal(pack(), message);
    expect(fs.readFileSync(join(target, 'manifest.json'), 'utf8')).toBe(before);
    expect((await pack('int4', { force: true })).kind).toBe('packed');
    expect(await pack()).toEqual({ kind: 'up to date' });
  });

  it('when its dtype or block size is another', async () => {
    await expectRefusal(pack('f32'), /its dtype is int4/);
    await expectRefusal(pack('int4', { blockSize: 64 }), /its block size is 32/);
    await expectRefusal(pack('int4', { uniform: true }), /packed without --uniform/);
  });

  it('but finds a copy of the checkpoint to be the same', async () => {
    const copy = join(temporary, 'copy');
    fs.cpSync(source, copy, { recursive: true });
    expect(await packQuietly(copy, target, 'int4')).toEqual({ kind: 'up to date' });
  });
});

describe('packModel refuses', () => {
  it('a target that holds something else, forced or not', async () => {
    fs.mkdirSync(target);
    fs.writeFileSync(join(target, 'thesis.txt'), 'irreplaceable');
    for (const force of [false, true]) {
      await expectRefusal(pack('int4', { force }), /packed holds something else than a packed model: choose/);
    }
    expect(fs.readdirSync(target)).toEqual(['thesis.txt']);
    expect(found()).toEqual(['packed']);
  });

  it('a target that is a file', async () => {
    fs.writeFileSync(target, '');
    await expectRefusal(pack(), /packed is a file: choose another folder/);
  });

  it('a source that is packed already', async () => {
    await pack();
    const again = packQuietly(target, join(temporary, 'twice'), 'int4');
    await expectRefusal(again, /packed is packed already: give the checkpoint/);
  });

  it('settings that contradict each other', async () => {
    for (const settings of [
      { dtype: 'int4', blockSize: null, uniform: false },
      { dtype: 'f16', blockSize: 32, uniform: false },
      { dtype: 'f32', blockSize: null, uniform: true },
    ] as const) {
      const message = new RegExp(`a block size belongs to int4 and int8.*dtype is ${settings.dtype}`);
      await expectRefusal(pack('int4', { settings }), message);
    }
  });

  it('a checkpoint that lacks a tensor, by its name', async () => {
    const path = join(source, 'config.json');
    const config = JSON.parse(fs.readFileSync(path, 'utf8'));
    fs.writeFileSync(path, JSON.stringify({ ...config, num_hidden_layers: 3 }));
    await expectRefusal(pack(), /no tensor model\.layers\.2\./);
    expect(found()).toEqual([]);
  });

  it('weights that are no numbers, by the name of their tensor', async () => {
    const { name } = openConfig().tensors.layer(1).expert(3).up;
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      changeTensor(name, (weights) => {
        weights[100] = value;
      });
      for (const dtype of ['int4', 'f16', 'f32'] as const) {
        await expectRefusal(
          pack(dtype),
          /tensor model\.layers\.1\.mlp\.experts\.3\.up_proj\.weight holds .*finite/,
        );
      }
    }
    expect(found()).toEqual([]);
  });

  it('weights that f16 cannot hold', async () => {
    const { name } = openConfig().tensors.layer(0).queryProjection;
    changeTensor(name, (weights) => {
      weights[7] = -65_520;
    });
    await expectRefusal(pack('f16'), /q_proj\.weight holds 65520, which f16 cannot: choose dtype f32/);
    expect((await pack('f32')).kind).toBe('packed');
  });
});

describe('leftovers', () => {
  const leftover = (host: string, pid: number, suffix = ''): string => {
    const path = join(temporary, `.${basename(target)}.packing-${host}-${pid}${suffix}`);
    fs.mkdirSync(path);
    fs.writeFileSync(join(path, 'experts-0.bin'), 'half');
    return path;
  };
  const DEAD_PID = 2 ** 22 + 1;

  it('of dead runs are removed by the next one', async () => {
    leftover(hostname(), DEAD_PID);
    leftover(hostname(), DEAD_PID + 1, '.old');
    leftover(hostname(), process.pid);
    const foreign = leftover('other-host', 1);
    const nowMs = fs.statSync(foreign).mtimeMs + HOUR_MS + 1;
    await pack('int4', { nowMs });
    expect(found()).toEqual(['packed']);
  });

  it('of a run that lives keep another one from packing into the same folder', async () => {
    const path = leftover(hostname(), process.ppid);
    await expectRefusal(pack(), new RegExp(`process ${process.ppid} on .* packs into .*packed right now`));
    fs.rmSync(path, { recursive: true });
    const foreign = leftover('other-host', 1);
    const nowMs = fs.statSync(foreign).mtimeMs + HOUR_MS - 1_000;
    await expectRefusal(pack('int4', { nowMs }), /process 1 on other-host packs/);
    expect(fs.existsSync(foreign)).toBe(true);
  });

  it('of other targets are left alone', async () => {
    const other = join(temporary, `.packed-int8.packing-${hostname()}-${DEAD_PID}`);
    fs.mkdirSync(other);
    await pack();
    expect(fs.existsSync(other)).toBe(true);
  });
});
