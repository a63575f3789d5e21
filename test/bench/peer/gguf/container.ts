import { type FileHandle, open } from 'node:fs/promises';
import type { TensorFormat } from './blocks.ts';

/** Tensors begin at multiples of this. */
export const ALIGNMENT_BYTES = 32;
const MAGIC = 'GGUF';
const VERSION = 3;

/** A value of the metadata, under the type that GGUF stores it as. */
export type MetadataValue =
  | { readonly uint32: number }
  | { readonly float32: number }
  | { readonly bool: boolean }
  | { readonly string: string }
  | { readonly strings: readonly string[] }
  | { readonly int32s: readonly number[] };

/** One tensor of the file. */
export interface GgufTensor {
  readonly name: string;
  /** As llama.cpp counts: the size that lies contiguous in memory comes first, so `[inputs, outputs]` for a matrix. */
  readonly dimensions: readonly number[];
  readonly format: TensorFormat;
  /** The encoded bytes, piece by piece; a piece may be overwritten by the next one. */
  readonly pieces: () => Iterable<Uint8Array>;
}

/** Numbers of the value types. */
const UINT32 = 4;
const INT32 = 5;
const FLOAT32 = 6;
const BOOL = 7;
const STRING = 8;
const ARRAY = 9;

/** Bytes in order, little-endian. */
class ByteWriter {
  readonly #parts: Buffer[] = [];
  length = 0;

  bytes(part: Buffer): this {
    this.#parts.push(part);
    this.length += part.length;
    return this;
  }

  uint32(value: number): this {
    const part = Buffer.alloc(4);
    part.writeUInt32LE(value);
    return this.bytes(part);
  }

  int32(value: number): this {
    const part = Buffer.alloc(4);
    part.writeInt32LE(value);
    return this.bytes(part);
  }

  float32(value: number): this {
    const part = Buffer.alloc(4);
    part.writeFloatLE(value);
    return this.bytes(part);
  }

  uint64(value: number): this {
    const part = Buffer.alloc(8);
    part.writeBigUInt64LE(BigInt(value));
    return this.bytes(part);
  }

  string(text: string): this {
    const part = Buffer.from(text);
    return this.uint64(part.length).bytes(part);
  }

  pad(): this {
    return this.bytes(Buffer.alloc(paddingAfter(this.length)));
  }

  joined(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

const paddingAfter = (length: number): number =>
  (ALIGNMENT_BYTES - (length % ALIGNMENT_BYTES)) % ALIGNMENT_BYTES;

function writeValue(writer: ByteWriter, value: MetadataValue): void {
  if ('uint32' in value) writer.uint32(UINT32).uint32(value.uint32);
  else if ('float32' in value) writer.uint32(FLOAT32).float32(value.float32);
  else if ('bool' in value) writer.uint32(BOOL).bytes(Buffer.of(value.bool ? 1 : 0));
  else if ('string' in value) writer.uint32(STRING).string(value.string);
  else if ('strings' in value) {
    writer.uint32(ARRAY).uint32(STRING).uint64(value.strings.length);
    for (const text of value.strings) writer.string(text);
  } else {
    writer.uint32(ARRAY).uint32(INT32).uint64(value.int32s.length);
    for (const number of value.int32s) writer.int32(number);
  }
}

const byteLengthOf = ({ dimensions, format }: GgufTensor): number =>
  format.byteLength(dimensions.reduce((product, size) => product * size, 1));

/** Everything before the tensor data. */
function header(metadata: Readonly<Record<string, MetadataValue>>, tensors: readonly GgufTensor[]): Buffer {
  const entries = Object.entries(metadata);
  const writer = new ByteWriter();
  writer.bytes(Buffer.from(MAGIC)).uint32(VERSION).uint64(tensors.length).uint64(entries.length);
  for (const [key, value] of entries) writeValue(writer.string(key), value);
  let offset = 0;
  for (const tensor of tensors) {
    writer.string(tensor.name).uint32(tensor.dimensions.length);
    for (const size of tensor.dimensions) writer.uint64(size);
    writer.uint32(tensor.format.code).uint64(offset);
    const length = byteLengthOf(tensor);
    offset += length + paddingAfter(length);
  }
  return writer.pad().joined();
}

/**
 * Writes a GGUF file, version 3. Memory holds one piece of one tensor at a time.
 *
 * @throws Error when a tensor's pieces are not as long together as its shape says
 */
export async function writeGguf(
  path: string,
  metadata: Readonly<Record<string, MetadataValue>>,
  tensors: readonly GgufTensor[],
): Promise<void> {
  const file = await open(path, 'w');
  try {
    await writeAll(file, header(metadata, tensors));
    for (const tensor of tensors) {
      let length = 0;
      for (const piece of tensor.pieces()) {
        await writeAll(file, piece);
        length += piece.length;
      }
      const expected = byteLengthOf(tensor);
      if (length !== expected) throw new Error(`${tensor.name} has ${length} bytes instead of ${expected}.`);
      await writeAll(file, Buffer.alloc(paddingAfter(length)));
    }
  } finally {
    await file.close();
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done)).bytesWritten;
  }
}
