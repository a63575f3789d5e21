import { z } from 'zod';
import { JanusError } from '../errors/janus-error.ts';

/** A safetensors file is: header length (unsigned 64-bit, little-endian), JSON header, tensor data. */
export const LENGTH_PREFIX_BYTES = 8;
/** The limit of Hugging Face's own reader. */
export const MAX_HEADER_BYTES = 100_000_000;

/** Bytes per element of the number formats whose elements are whole bytes. */
const ELEMENT_BYTES: ReadonlyMap<string, number> = new Map([
  ['BOOL', 1],
  ['U8', 1],
  ['I8', 1],
  ['F8_E4M3', 1],
  ['F8_E5M2', 1],
  ['U16', 2],
  ['I16', 2],
  ['F16', 2],
  ['BF16', 2],
  ['U32', 4],
  ['I32', 4],
  ['F32', 4],
  ['U64', 8],
  ['I64', 8],
  ['F64', 8],
]);

/** Where one tensor lies in its file. */
export interface StoredTensor {
  /** As the file names it: `BF16`, `F16`, `F32`, … */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** First byte, counted from the beginning of the file. */
  readonly begin: number;
  /** One past the last byte. */
  readonly end: number;
}

const size = z.int().nonnegative();
const entrySchema = z.object({
  dtype: z.string(),
  shape: z.array(size),
  data_offsets: z.tuple([size, size]),
});

/**
 * Length of the JSON header in bytes. Nothing is allocated before this has been checked.
 *
 * @param prefix the first 8 bytes of the file, or fewer if it is shorter
 * @throws JanusError that names the file if it cannot hold such a header
 */
export function parseHeaderLength(prefix: Uint8Array, fileSize: number, fileName: string): number {
  if (prefix.length < LENGTH_PREFIX_BYTES) {
    throw damaged(fileName, `it has ${fileSize} bytes, and a safetensors file begins with an 8-byte length`);
  }
  const length = new DataView(prefix.buffer, prefix.byteOffset, LENGTH_PREFIX_BYTES).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw damaged(
      fileName,
      `its header claims ${length} bytes, and at most ${MAX_HEADER_BYTES} are read; ` +
        'if it is a Git LFS pointer, run `git lfs pull`',
    );
  }
  if (Number(length) > fileSize - LENGTH_PREFIX_BYTES) {
    throw damaged(fileName, `its header claims ${length} bytes, and the whole file has ${fileSize}`);
  }
  return Number(length);
}

/**
 * Reads the header of a safetensors file. As the format demands, the tensors must fill the rest of the file without gap
 * and without overlap.
 *
 * @param headerBytes the JSON header, without the 8 bytes of its length
 * @throws JanusError that names the file, and the tensor if one is to blame
 */
export function parseSafetensorsHeader(
  headerBytes: Uint8Array,
  fileSize: number,
  fileName: string,
): Map<string, StoredTensor> {
  const dataBegin = LENGTH_PREFIX_BYTES + headerBytes.length;
  const tensors = new Map<string, StoredTensor>();
  for (const [name, entry] of Object.entries(parseHeaderJson(headerBytes, fileName))) {
    if (name === '__metadata__') continue;
    const { data, success } = entrySchema.safeParse(entry);
    if (!success) {
      throw damaged(fileName, `the header of tensor ${name} must have dtype, shape and data_offsets`);
    }
    const [begin, end] = data.data_offsets;
    checkSize(data.dtype, data.shape, end - begin, `tensor ${name}`, fileName);
    tensors.set(name, {
      dtype: data.dtype,
      shape: data.shape,
      begin: dataBegin + begin,
      end: dataBegin + end,
    });
  }
  checkLayout(tensors, dataBegin, fileSize, fileName);
  return tensors;
}

function parseHeaderJson(headerBytes: Uint8Array, fileName: string): object {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(headerBytes));
  } catch (cause) {
    throw damaged(fileName, 'its header is not valid JSON', cause);
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) {
    throw damaged(fileName, 'its header must be a JSON object');
  }
  return header;
}

function checkSize(dtype: string, shape: number[], bytes: number, tensor: string, fileName: string): void {
  if (bytes < 0) throw damaged(fileName, `${tensor} ends before it begins`);
  const elementBytes = ELEMENT_BYTES.get(dtype);
  if (elementBytes === undefined) return;
  const expected = elementCount(shape) * elementBytes;
  if (bytes !== expected) {
    throw damaged(
      fileName,
      `${tensor} has ${bytes} bytes, and shape [${shape.join(', ')}] of ${dtype} takes ${expected}`,
    );
  }
}

function checkLayout(
  tensors: ReadonlyMap<string, StoredTensor>,
  dataBegin: number,
  fileSize: number,
  fileName: string,
): void {
  const inOrder = [...tensors].toSorted(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let position = dataBegin;
  for (const [name, { begin, end }] of inOrder) {
    if (begin < position) throw damaged(fileName, `tensor ${name} overlaps the one before it`);
    if (begin > position) throw damaged(fileName, `there is a gap of bytes before tensor ${name}`);
    if (end > fileSize) {
      throw damaged(
        fileName,
        `tensor ${name} ends at byte ${end}, and the file at ${fileSize}: it is cut off`,
      );
    }
    position = end;
  }
  if (position !== fileSize) {
    throw damaged(fileName, `its tensors end at byte ${position}, and the file at ${fileSize}`);
  }
}

/** Number of elements of a tensor; 1 for a scalar, whose shape is empty. */
export const elementCount = (shape: readonly number[]): number =>
  shape.reduce((product, n) => product * n, 1);

const damaged = (fileName: string, what: string, cause?: unknown): JanusError =>
  new JanusError(`${fileName} is not a whole safetensors file: ${what}. Download it again.`, { cause });
