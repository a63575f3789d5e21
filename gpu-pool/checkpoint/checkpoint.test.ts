import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { JanusError } from '../../shared/errors/janus-error.ts';
import {
  type TensorToWrite,
  writeRawSafetensors,
  writeSafetensors,
} from '../../test/support/safetensors-file.ts';
import { Checkpoint } from './checkpoint.ts';

let temporary: string;
/** The checkpoint's folder: `temporary`, or one in it. */
let folder: string;
beforeEach(() => {
  temporary = fs.mkdtempSync(join(tmpdir(), 'janus-checkpoint-'));
  folder = temporary;
});
afterEach(() => {
  fs.rmSync(temporary, { recursive: true });
});

const bytesOf = (numbers: Float32Array | Float16Array | Uint16Array): Uint8Array =>
  new Uint8Array(numbers.buffer);
const values = [1.5, -2, 0.0078125, -0, 65504, 6.103515625e-5];
const bf16 = Uint16Array.of(0x3fc0, 0xc000, 0x3c00, 0x8000, 0x477f, 0x3880);
const weights: TensorToWrite[] = [
  { name: 'full', dtype: 'F32', shape: [2, 3], bytes: bytesOf(Float32Array.from(values)) },
  { name: 'half', dtype: 'F16', shape: [6], bytes: bytesOf(Float16Array.from(values)) },
  { name: 'brain', dtype: 'BF16', shape: [3, 2], bytes: bytesOf(bf16) },
  { name: 'scalar', dtype: 'F32', shape: [], bytes: bytesOf(Float32Array.of(7)) },
  { name: 'counters', dtype: 'I64', shape: [1], bytes: new Uint8Array(8) },
];

function withCheckpoint<T>(use: (checkpoint: Checkpoint) => T): T {
  const checkpoint = Checkpoint.open(folder);
  try {
    return use(checkpoint);
  } finally {
    checkpoint.close();
  }
}

function writeIndex(weightMap: unknown): void {
  const content = JSON.stringify({ metadata: {}, weight_map: weightMap });
  fs.writeFileSync(join(folder, 'model.safetensors.index.json'), content);
}

function expectRefusal(action: () => unknown, message: RegExp): void {
  expect(action).toThrow(JanusError);
  expect(action).toThrow(message);
}

const openDescriptors = (): number => fs.readdirSync('/proc/self/fd').length;

describe('Checkpoint', () => {
  it('reads f32, f16 and bf16 as exact f32', () => {
    writeSafetensors(join(folder, 'model.safetensors'), weights);
    withCheckpoint((checkpoint) => {
      expect([...checkpoint.readFloat32('full', [2, 3])]).toEqual(values);
      expect([...checkpoint.readFloat32('half', [6])]).toEqual(values);
      expect([...checkpoint.readFloat32('brain', [3, 2])]).toEqual([
        1.5, -2, 0.0078125, -0, 65280, 6.103515625e-5,
      ]);
      expect([...checkpoint.readFloat32('scalar', [])]).toEqual([7]);
    });
  });

  it('reads the bytes as they are, and tells shape and number format', () => {
    writeSafetensors(join(folder, 'model.safetensors'), weights);
    withCheckpoint((checkpoint) => {
      expect(checkpoint.readBytes('brain', [3, 2])).toEqual(bytesOf(bf16));
      expect(checkpoint.dtype('brain')).toBe('BF16');
      expect(checkpoint.shape('brain')).toEqual([3, 2]);
    });
  });

  it('reads a tensor that is larger than its conversion buffer', () => {
    const count = 600_001;
    const numbers = Uint16Array.from({ length: count }, (_, i) => (i * 7) % 0x7f80);
    const bytes = bytesOf(numbers);
    writeSafetensors(join(folder, 'model.safetensors'), [
      { name: 'big', dtype: 'BF16', shape: [count], bytes },
    ]);
    const read = withCheckpoint((checkpoint) => checkpoint.readFloat32('big', [count]));
    const upperHalves = Uint16Array.from(new Uint32Array(read.buffer), (word) => word >>> 16);
    expect(Buffer.compare(bytesOf(upperHalves), bytes)).toBe(0);
  });

  it('reads shards by their index', () => {
    writeSafetensors(join(folder, 'one.safetensors'), [weights[0]]);
    writeSafetensors(join(folder, 'two.safetensors'), weights.slice(1));
    writeIndex({ full: 'one.safetensors', half: 'two.safetensors', brain: 'two.safetensors' });
    withCheckpoint((checkpoint) => {
      expect([...checkpoint.readFloat32('full', [2, 3])]).toEqual(values);
      expect([...checkpoint.readFloat32('half', [6])]).toEqual(values);
    });
  });

  it.skipIf(process.platform !== 'linux')(
    'closes its files, also when opening fails at the second shard',
    () => {
      writeSafetensors(join(folder, 'one.safetensors'), [weights[0]]);
      writeIndex({ full: 'one.safetensors', half: 'missing.safetensors' });
      const before = openDescriptors();
      expect(() => Checkpoint.open(folder)).toThrow();
      writeSafetensors(join(folder, 'model.safetensors'), weights);
      const checkpoint = Checkpoint.open(folder);
      checkpoint.close();
      checkpoint.close();
      expect(openDescriptors()).toBe(before);
      expect(() => checkpoint.readFloat32('full', [2, 3])).toThrow(/is closed/);
    },
  );
});

describe('Checkpoint refuses', () => {
  it.each([
    ['a missing tensor', 'other', [1], /folder.*: the checkpoint has no tensor other; check that/],
    [
      'a tensor of another shape',
      'full',
      [3, 2],
      /model\.safetensors: tensor full has shape \[2, 3\], and config\.json asks for \[3, 2\]/,
    ],
    ['a tensor of another rank', 'full', [2, 3, 1], /tensor full has shape \[2, 3\]/],
    [
      'a number format that it cannot load',
      'counters',
      [1],
      /model\.safetensors: tensor counters has number format I64, and only F32, F16, BF16 .*convert/,
    ],
  ])('%s', (_, name, shape, message) => {
    fs.mkdirSync(join(folder, 'folder'));
    folder = join(folder, 'folder');
    writeSafetensors(join(folder, 'model.safetensors'), weights);
    withCheckpoint((checkpoint) => {
      expectRefusal(() => checkpoint.readFloat32(name, shape), message);
      expectRefusal(() => checkpoint.readBytes(name, shape), message);
      expectRefusal(() => checkpoint.verify(name, shape), message);
    });
  });

  it('a file that is shorter than 8 bytes', () => {
    fs.writeFileSync(join(folder, 'model.safetensors'), 'abc');
    expectRefusal(
      () => Checkpoint.open(folder),
      /model\.safetensors is not a whole safetensors file: it has 3 bytes/,
    );
  });

  it('a header that claims 2^60 bytes, without allocating them', () => {
    writeRawSafetensors(join(folder, 'model.safetensors'), '{}', [], 2n ** 60n);
    expectRefusal(() => Checkpoint.open(folder), /model\.safetensors .*claims 1152921504606846976 bytes/);
  });

  it('a header that claims more than the file has', () => {
    writeRawSafetensors(join(folder, 'model.safetensors'), '{}', [], 3n);
    expectRefusal(() => Checkpoint.open(folder), /claims 3 bytes, and the whole file has 10/);
  });

  it('a header that is not JSON', () => {
    writeRawSafetensors(join(folder, 'model.safetensors'), '{"a":', []);
    expectRefusal(() => Checkpoint.open(folder), /header is not valid JSON/);
  });

  it('a file that is cut off, on opening and also if it happens later', () => {
    const path = join(folder, 'model.safetensors');
    writeSafetensors(path, weights);
    const { size } = fs.statSync(path);
    withCheckpoint((checkpoint) => {
      fs.truncateSync(path, size - 20);
      expectRefusal(() => checkpoint.readFloat32('brain', [3, 2]), /ended at byte \d+ while it was read/);
    });
    expectRefusal(
      () => Checkpoint.open(folder),
      /tensor brain ends at byte \d+, and the file at \d+: it is cut off/,
    );
  });

  it('a folder without weights', () => {
    expectRefusal(() => Checkpoint.open(folder), /holds no weights: put model\.safetensors, or shards and/);
  });

  it('a folder in place of the file', () => {
    fs.mkdirSync(join(folder, 'model.safetensors'));
    expectRefusal(() => Checkpoint.open(folder), /model\.safetensors must be a file/);
  });

  it.each([
    ['../one.safetensors'],
    ['/etc/one.safetensors'],
    ['a\\b.safetensors'],
    ['..'],
    ['one.bin'],
    [''],
  ])('an index that names %j as a shard', (shard) => {
    writeIndex({ full: shard });
    expectRefusal(
      () => Checkpoint.open(folder),
      /index\.json: weight_map must name a \.safetensors file of the/,
    );
  });

  it('an index without a weight map', () => {
    writeIndex(undefined);
    expectRefusal(
      () => Checkpoint.open(folder),
      /index\.json: weight_map must map tensors to shards \(it is missing\)/,
    );
  });

  it('an index that names a tensor which its shard does not hold', () => {
    writeSafetensors(join(folder, 'one.safetensors'), [weights[0]]);
    writeIndex({ full: 'one.safetensors', half: 'one.safetensors' });
    expectRefusal(() => Checkpoint.open(folder), /one\.safetensors has no tensor half, though .*index\.json/);
  });

  it('an index that names a missing shard', () => {
    writeIndex({ full: 'one.safetensors' });
    expectRefusal(() => Checkpoint.open(folder), /one\.safetensors cannot be opened: ENOENT/);
  });

  it('an index with more shards than it would keep open', () => {
    writeIndex(Object.fromEntries(Array.from({ length: 501 }, (_, i) => [`t${i}`, `${i}.safetensors`])));
    expectRefusal(() => Checkpoint.open(folder), /names 501 shards, and at most 500/);
  });
});
