import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { JanusError } from '../../shared/errors/janus-error.ts';
import { expertTensors, modelTensors, roleTensors } from '../../shared/model/tensors.ts';
import { writeTinyCheckpoint } from '../../test/support/tiny-checkpoint.ts';
import { Checkpoint } from '../checkpoint/checkpoint.ts';
import { unpackTile8 } from '../kernels/tile8.ts';
import type { MatrixFormat } from '../runtime/matrix.ts';
import { type BlockQuantized, dequantizeBlocks, quantizeBlocks } from '../runtime/quantize.ts';
import { expertFormat, weightFormats } from '../runtime/weights.ts';
import { PACKED_VERSION } from './manifest.ts';
import { packQuietly } from './pack/pack-quietly.fixture.ts';
import { type BlockSize, type PackedDtype, packedFormats, packedWeightForm } from './packed-formats.ts';
import { isPacked, openPacked, type PackedModel } from './packed-model.ts';
import { GROUP_ALIGNMENT, PART_ALIGNMENT } from './plan.ts';

const SHIPPED = fileURLToPath(new URL('../models/dictionary-moe', import.meta.url));

let temporary: string;
let source: string;
let target: string;
beforeEach(() => {
  temporary = fs.mkdtempSync(join(tmpdir(), 'janus-packed-'));
  source = join(temporary, 'source');
  target = join(temporary, 'packed');
  fs.mkdirSync(source);
});
afterEach(() => fs.rmSync(temporary, { recursive: true }));

const sameBytes = (a: ArrayBufferView, b: ArrayBufferView): boolean =>
  Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength));

const sameBlocks = (a: BlockQuantized, b: BlockQuantized): boolean =>
  sameBytes(a.codes, b.codes) &&
  sameBytes(a.rowScales, b.rowScales) &&
  sameBytes(a.steps, b.steps) &&
  sameBytes(a.zeroPoints ?? new Uint8Array(), b.zeroPoints ?? new Uint8Array());

/** The format in which the runtime holds a tensor of the checkpoint. */
function runtimeFormat(name: string, dtype: PackedDtype): MatrixFormat {
  const formats = weightFormats(packedWeightForm(dtype));
  if (name.includes('.experts.')) return expertFormat(formats, Number(/layers\.(\d+)/.exec(name)![1]));
  if (/self_attn\.[qkvo]_proj/.test(name)) return formats.attention;
  return name.startsWith('lm_head') ? formats.head : { form: 'f32' };
}

const isMatrix = (name: string): boolean => !/norm|mlp\.gate|embed_tokens/.test(name);

/** What a tensor must read as, and its blocks where it is quantised. */
function expectedOf(
  weights: Float32Array,
  shape: readonly number[],
  name: string,
  dtype: PackedDtype,
  blockSize: BlockSize,
) {
  const format = runtimeFormat(name, dtype);
  if (format.form === 'blocks') {
    const blocks = quantizeBlocks(weights, shape[0]!, shape[1]!, { ...format, blockSize });
    return { numbers: dequantizeBlocks(blocks), blocks };
  }
  const half = dtype === 'f16' && isMatrix(name);
  return { numbers: half ? Float32Array.from(Float16Array.from(weights)) : weights, blocks: undefined };
}

/** Names of the tensors that do not read as they must. */
function wrongTensors(
  model: PackedModel,
  folder: string,
  dtype: PackedDtype,
  blockSize: BlockSize = 32,
): string[] {
  const checkpoint = Checkpoint.open(folder);
  const wrong = [...roleTensors(model.config, 'both')].filter(({ name, shape }) => {
    const { numbers, blocks } = expectedOf(
      checkpoint.readFloat32(name, shape),
      shape,
      name,
      dtype,
      blockSize,
    );
    if (!sameBytes(model.float32(name, shape), numbers)) return true;
    if (blocks === undefined) return false;
    const stored = model.quantized(name, shape);
    return stored === undefined || !sameBlocks(stored, blocks);
  });
  checkpoint.close();
  return wrong.map(({ name }) => name);
}

describe('a packed model', () => {
  it.each(['int4', 'int8', 'f16', 'f32'] as const)(
    'holds every tensor of the shipped model as the runtime would make it of the checkpoint: %s',
    async (dtype) => {
      await packQuietly(SHIPPED, target, dtype);
      const model = openPacked(target);
      expect(wrongTensors(model, SHIPPED, dtype)).toEqual([]);
      const { embedding } = modelTensors(model.config);
      const checkpoint = Checkpoint.open(SHIPPED);
      const table = checkpoint.readBytes(embedding.name, embedding.shape);
      const head = checkpoint.readFloat32(embedding.name, embedding.shape);
      checkpoint.close();
      expect(sameBytes(model.bfloat16(embedding.name, embedding.shape)!, table)).toBe(true);
      const stored = model.quantized(embedding.name, embedding.shape);
      const format = weightFormats(packedWeightForm(dtype)).head;
      if (format.form === 'f32') expect(stored).toBeUndefined();
      else expect(sameBlocks(stored!, quantizeBlocks(head, 4096, 192, format))).toBe(true);
      model.close();
    },
  );

  it.each([
    ['int4', 32],
    ['int4', 64],
    ['int8', 128],
  ] as const)(
    'of sizes that fill neither tiles nor blocks nor slices: %s, blocks of %i',
    async (dtype, blockSize) => {
      const config = { vocab_size: 40_003, hidden_size: 72, moe_intermediate_size: 36, num_hidden_layers: 3 };
      writeTinyCheckpoint(source, { config, shards: 2 });
      await packQuietly(source, target, dtype, { blockSize });
      const model = openPacked(target);
      expect(model.config.tiedEmbeddings).toBe(false);
      expect(wrongTensors(model, source, dtype, blockSize)).toEqual([]);
      const bits = dtype === 'int4' ? 4 : 8;
      expect(packedFormats(model.manifest).experts).toMatchObject({ bits, blockSize });
      model.close();
    },
  );

  it('holds all large matrices alike where it is uniform, and the head of a tied embedding too', async () => {
    writeTinyCheckpoint(source, { config: { tie_word_embeddings: true } });
    await packQuietly(source, target, 'int4', { blockSize: 64, uniform: true });
    const model = openPacked(target);
    const int4 = { form: 'blocks', bits: 4, blockSize: 64, zeroPoints: true, accuracyLevel: 4 };
    const formats = { firstExperts: int4, experts: int4, attention: int4, head: int4 };
    expect(packedFormats(model.manifest)).toEqual(formats);
    const { embedding, layer } = modelTensors(model.config);
    for (const { name, shape } of [embedding, layer(0).keyProjection, layer(0).expert(1).up]) {
      expect(model.quantized(name, shape)!.format).toMatchObject({
        bits: 4,
        blockSize: 64,
        zeroPoints: true,
      });
    }
    model.close();
  });

  it('holds signed bytes and a scale per row where int8 is uniform', async () => {
    writeTinyCheckpoint(source);
    await packQuietly(source, target, 'int8', { blockSize: 128, uniform: true });
    const model = openPacked(target);
    const bytes = { form: 'blocks', bits: 8, blockSize: 128, zeroPoints: false, perRow: true };
    expect(packedFormats(model.manifest).experts).toMatchObject(bytes);
    expect(packedFormats(model.manifest).attention).toMatchObject(bytes);
    const { name, shape } = modelTensors(model.config).layer(0).expert(1).up;
    const stored = model.quantized(name, shape)!;
    expect(stored.steps.every((step) => step === 1)).toBe(true);
    const checkpoint = Checkpoint.open(source);
    const weights = checkpoint.readFloat32(name, shape);
    checkpoint.close();
    expect(sameBlocks(stored, quantizeBlocks(weights, shape[0]!, shape[1]!, stored.format))).toBe(true);
    model.close();
  });

  it('reads an expert into shared memory, where its matrices lie as the manifest says', async () => {
    const config = writeTinyCheckpoint(source, { config: { num_hidden_layers: 3 } });
    await packQuietly(source, target, 'int4');
    const model = openPacked(target);
    const group = model.expertGroup(2, 5);
    const memory = new WebAssembly.Memory({ initial: 2, maximum: 2, shared: true });
    const bytes = model.expertBytes(2);
    const place = new Uint8Array(memory.buffer, 4_096, bytes);
    model.readExpert(2, 5, place);
    const { gate, up, down } = expertTensors(config, 2, 5);
    const checkpoint = Checkpoint.open(source);
    for (const [index, { name, shape }] of [gate, up, down].entries()) {
      const part = group.parts[index]!;
      expect(part).toMatchObject({ name, shape, format: { form: 'blocks', bits: 4, blockSize: 32 } });
      const format = { bits: 4, blockSize: 32, zeroPoints: true } as const;
      const found = unpackTile8(place.subarray(part.offset), shape[0]!, shape[1]!, format);
      const blocks = quantizeBlocks(checkpoint.readFloat32(name, shape), shape[0]!, shape[1]!, format);
      expect(sameBlocks(found, blocks)).toBe(true);
    }
    checkpoint.close();
    const { name, shape } = down;
    const { offset, bytes: partBytes } = group.parts[2]!;
    const stored = new Uint8Array(partBytes);
    expect(model.readStored(name, shape, stored)).toBe(true);
    expect(sameBytes(stored, place.subarray(offset, offset + partBytes))).toBe(true);
    const { router } = modelTensors(config).layer(2);
    expect(model.readStored(router.name, router.shape, stored)).toBe(false);
    expect(new Uint8Array(memory.buffer, 4_096 + bytes).every((byte) => byte === 0)).toBe(true);
    expect(() => model.readExpert(2, 5, place.subarray(1))).toThrow(/layer 2 expert 5.* has \d+/);
    expect(() => model.readExpert(2, 8, place)).toThrow(/no expert 8 of layer 2.*3 layers of 8 experts/);
    model.close();
    expect(() => model.readExpert(2, 5, place)).toThrow(/experts-2\.bin is not open/);
  });

  it('leaves what it gave out as it was when other groups are read, and when it is closed', async () => {
    writeTinyCheckpoint(source);
    await packQuietly(source, target, 'int4');
    const model = openPacked(target);
    const { embedding, finalNorm, layer } = modelTensors(model.config);
    const given = [embedding, finalNorm, layer(0).inputNorm, layer(0).router, layer(1).router].map(
      ({ name, shape }) => ({ name, shape, numbers: model.float32(name, shape) }),
    );
    const { name, shape } = layer(1).keyProjection;
    const { codes } = model.quantized(name, shape)!;
    model.close();
    const other = openPacked(target);
    for (const { name, shape, numbers } of given) {
      expect(sameBytes(numbers, other.float32(name, shape)), name).toBe(true);
    }
    expect(sameBytes(codes, other.quantized(name, shape)!.codes)).toBe(true);
    other.close();
    expect(() => model.float32(name, shape)).toThrow(/attention\.bin is not open/);
  });

  it('aligns experts to pages and matrices to cache lines', async () => {
    writeTinyCheckpoint(source);
    await packQuietly(source, target, 'int8', { blockSize: 128 });
    const { groups } = openPacked(target).manifest;
    expect(groups.filter(({ offset }) => offset % GROUP_ALIGNMENT !== 0)).toEqual([]);
    const parts = groups.flatMap((group) => group.parts);
    expect(parts.filter(({ offset }) => offset % PART_ALIGNMENT !== 0)).toEqual([]);
  });

  it('brings along what else a host and its users need', async () => {
    await packQuietly(SHIPPED, target, 'f32');
    for (const file of [
      'config.json',
      'generation_config.json',
      'tokenizer.json',
      'tokenizer_config.json',
      'WORDNET-LICENSE.txt',
    ]) {
      expect(fs.readFileSync(join(target, file)).equals(fs.readFileSync(join(SHIPPED, file)))).toBe(true);
    }
  });
});

describe('openPacked and what it opens refuse', () => {
  let whole: string;
  beforeAll(async () => {
    whole = fs.mkdtempSync(join(tmpdir(), 'janus-packed-whole-'));
    writeTinyCheckpoint(whole, { config: { num_hidden_layers: 3 } });
    await packQuietly(whole, join(whole, 'packed'), 'int4');
  });
  beforeEach(() => {
    fs.cpSync(whole, source, { recursive: true });
    fs.renameSync(join(source, 'packed'), target);
  });
  afterAll(() => fs.rmSync(whole, { recursive: true }));

  const manifestPath = (): string => join(target, 'manifest.json');

  function changeManifest(change: (manifest: ReturnType<typeof JSON.parse>) => void): void {
    const manifest = JSON.parse(fs.readFileSync(manifestPath(), 'utf8'));
    change(manifest);
    fs.writeFileSync(manifestPath(), JSON.stringify(manifest));
  }

  function expectRefusal(action: () => unknown, message: RegExp): void {
    expect(action).toThrow(JanusError);
    expect(action).toThrow(message);
  }

  const openDescriptors = (): number => fs.readdirSync('/proc/self/fd').length;

  it.skipIf(process.platform !== 'linux')('a file that is cut off, and leave no file open', () => {
    const path = join(target, 'experts-1.bin');
    fs.truncateSync(path, fs.statSync(path).size - 1);
    const before = openDescriptors();
    expectRefusal(
      () => openPacked(target),
      /experts-1\.bin has \d+ bytes, and its manifest says \d+: pack .* again/,
    );
    expect(openDescriptors()).toBe(before);
  });

  it('a file that is missing', () => {
    fs.rmSync(join(target, 'attention.bin'));
    expectRefusal(() => openPacked(target), /attention\.bin cannot be opened: ENOENT.*pack .* again/);
  });

  it('a byte that has changed, but no other group of the file', () => {
    const model = openPacked(target);
    const { offset, bytes } = model.expertGroup(2, 4);
    const path = join(target, 'experts-2.bin');
    const content = fs.readFileSync(path);
    content[offset + bytes - 1]! ^= 1;
    fs.writeFileSync(path, content);
    const place = new Uint8Array(bytes);
    const damaged = /experts-2\.bin: group layer 2 expert 4 does not hold what was packed.*pack .* again/;
    expectRefusal(() => model.readExpert(2, 4, place), damaged);
    const { down } = expertTensors(model.config, 2, 4);
    expectRefusal(() => model.float32(down.name, down.shape), damaged);
    expectRefusal(() => model.quantized(down.name, down.shape), damaged);
    model.readExpert(2, 3, place);
    model.readExpert(2, 5, place);
    model.close();
  });

  it('a tensor that is missing or has another shape', () => {
    const model = openPacked(target);
    expectRefusal(() => model.float32('other', [1]), /packed: the packed model has no tensor other/);
    expectRefusal(() => model.bfloat16('other', [1]), /no tensor other/);
    expectRefusal(() => model.quantized('other', [1]), /no tensor other/);
    expectRefusal(
      () => model.verify('model.norm.weight', [65]),
      /head\.bin: tensor model\.norm\.weight has shape \[64\], and config\.json asks for \[65\]/,
    );
    model.close();
  });

  it('a folder that is none, or the checkpoint itself', () => {
    expect(isPacked(target)).toBe(true);
    expect(isPacked(source)).toBe(false);
    expect(isPacked(join(temporary, 'nowhere'))).toBe(false);
    expectRefusal(
      () => openPacked(source),
      /source is not a packed model: it has no manifest\.json; `janus pack`/,
    );
  });

  it('another version of the format, which is a packed model all the same', () => {
    changeManifest((manifest) => {
      manifest.version = PACKED_VERSION + 1;
      delete manifest.groups;
    });
    expect(isPacked(target)).toBe(true);
    expectRefusal(() => openPacked(target), /manifest\.json: .* version 4 .* reads version 3; pack it again/);
  });

  it('a manifest that is cut off', () => {
    fs.truncateSync(manifestPath(), 1_000);
    expectRefusal(() => openPacked(target), /manifest\.json is not valid JSON/);
  });

  it.each<[string, (manifest: ReturnType<typeof JSON.parse>) => void, RegExp]>([
    ['without a field', (manifest) => delete manifest.dtype, /manifest\.json: dtype .*missing/],
    ['of another kind', (manifest) => (manifest.format = 'zip'), /manifest\.json: format/],
    [
      'that names a file outside of the folder',
      (manifest) => {
        manifest.files = { '../x.bin': 1 };
      },
      /manifest\.json: files/,
    ],
    [
      'with a group in another place',
      (manifest) => {
        manifest.groups.at(-1).offset += 4096;
      },
      /group layer 2 expert 7 is not laid out as this Janus .*config\.json; pack the model again/,
    ],
    [
      'with a tensor of another shape',
      (manifest) => {
        manifest.groups[0].parts[0].shape[0] += 1;
      },
      /group embedding is not laid out/,
    ],
    [
      'of forms that the runtime does not compute with',
      (manifest) => {
        for (const { parts } of manifest.groups.slice(2)) {
          for (const { format } of parts)
            if (format.form === 'blocks') format.zeroPoints = !format.zeroPoints;
        }
      },
      /group layer 0 attention is not laid out/,
    ],
    [
      'with an expert too many',
      (manifest) => {
        manifest.groups.push({ ...manifest.groups.at(-1), name: 'layer 2 expert 8' });
      },
      /files or groups are more than/,
    ],
    [
      'without an expert',
      (manifest) => {
        manifest.groups.pop();
      },
      /group layer 2 expert 7 is not laid out/,
    ],
    [
      'without a tensor',
      (manifest) => {
        manifest.groups[1].parts.shift();
      },
      /group head is not laid out/,
    ],
  ])('a manifest %s', (_, change, message) => {
    changeManifest(change);
    expectRefusal(() => openPacked(target), message);
  });
});
