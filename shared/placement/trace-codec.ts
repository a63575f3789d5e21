import { JanusError } from '../errors/janus-error.ts';
import { ActivationTrace } from './trace.ts';

/**
 * Stored form of a trace, little-endian: u32 magic, u32 version, u32 layers, u32 experts, u32 k, u32 window rows; per layer u32
 * rows; then per layer the expert ids [rows, k], oldest row first, in one byte each where there are at most 256 experts,
 * else in two.
 */
const MAGIC = 0x5254_414a;
const VERSION = 1;
const HEADER_WORDS = 6;
const WORD_BYTES = 4;
const BYTE_EXPERTS = 256;
/** Rows that a merged trace holds per layer: enough for a placement, and 5 MB with 60 layers and top-8. */
export const MERGED_WINDOW_ROWS = 8_192;
/** Larger windows are not decoded: they are not a trace that a host stored. */
const MOST_BYTES = 64 * 2 ** 20;

/** Encodes the windows of a trace. */
export function encodeTrace(trace: ActivationTrace): Uint8Array {
  const { layers, experts, expertsPerToken } = trace.shape;
  const windows = Array.from({ length: layers }, (_, layer) => trace.window(layer));
  const idBytes = bytesPerId(experts);
  const headerBytes = (HEADER_WORDS + layers) * WORD_BYTES;
  const ids = windows.reduce((sum, window) => sum + window.length, 0);
  const bytes = new Uint8Array(headerBytes + ids * idBytes);
  const view = new DataView(bytes.buffer);
  const rows = windows.map((window) => window.length / expertsPerToken);
  const header = [MAGIC, VERSION, layers, experts, expertsPerToken, trace.windowRows, ...rows];
  for (const [word, value] of header.entries()) view.setUint32(word * WORD_BYTES, value, true);
  let offset = headerBytes;
  for (const window of windows) {
    if (idBytes === 1) bytes.set(window, offset);
    else for (const [pair, expert] of window.entries()) view.setUint16(offset + pair * idBytes, expert, true);
    offset += window.length * idBytes;
  }
  return bytes;
}

/**
 * Decodes what `encodeTrace` made.
 *
 * @throws JanusError when the bytes are not a whole trace or name experts that the model does not have.
 */
export function decodeTrace(bytes: Uint8Array): ActivationTrace {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const word = (index: number): number => {
    const offset = index * WORD_BYTES;
    if (offset + WORD_BYTES > bytes.length)
      throw broken(`it ends within its header, after ${bytes.length} bytes`);
    return view.getUint32(offset, true);
  };
  if (word(0) !== MAGIC || word(1) !== VERSION) throw broken(`it does not begin as version ${VERSION} does`);
  const shape = { layers: word(2), experts: word(3), expertsPerToken: word(4) };
  const windowRows = word(5);
  const idBytes = bytesPerId(shape.experts);
  // Before anything is made of them: a damaged number of layers may be any.
  word(HEADER_WORDS + shape.layers - 1);
  if (shape.layers * windowRows * shape.expertsPerToken * idBytes > MOST_BYTES) {
    throw broken(`its windows are larger than ${MOST_BYTES} bytes`);
  }
  const trace = new ActivationTrace(shape, windowRows);
  let offset = (HEADER_WORDS + shape.layers) * WORD_BYTES;
  for (let layer = 0; layer < shape.layers; layer += 1) {
    const rows = word(HEADER_WORDS + layer);
    const pairs = rows * shape.expertsPerToken;
    if (rows > windowRows || offset + pairs * idBytes > bytes.length) {
      throw broken(`layer ${layer} has ${rows} rows, which is more than it holds`);
    }
    const ids = Uint16Array.from({ length: pairs }, (_, pair) =>
      idBytes === 1 ? bytes[offset + pair] : view.getUint16(offset + pair * idBytes, true),
    );
    trace.record(layer, ids, rows);
    offset += pairs * idBytes;
  }
  if (offset !== bytes.length) throw broken(`${bytes.length - offset} bytes follow its end`);
  return trace;
}

/**
 * One trace of what was stored, encoded, under the names of attention instances; null where that is nothing.
 *
 * @throws JanusError when a window is broken, or windows of different models lie under one name
 */
export function decodeTraces(
  stored: Readonly<Record<string, Uint8Array>>,
  windowRows = MERGED_WINDOW_ROWS,
): ActivationTrace | null {
  // By name, so that the order in which hosts stored theirs changes nothing.
  const windows = Object.keys(stored).sort();
  if (windows.length === 0) return null;
  return mergeTraces(
    windows.map((instance) => decodeTrace(stored[instance]!)),
    windowRows,
  );
}

/**
 * One trace of what several attention instances saw. Where their windows are more than `windowRows` together, each gives its
 * newest rows, in proportion to what it has.
 *
 * @throws JanusError when there is no trace or they are of different models.
 */
export function mergeTraces(traces: readonly ActivationTrace[], windowRows: number): ActivationTrace {
  const first = traces[0];
  if (first === undefined) throw new JanusError('there is no activation trace to merge; give at least one');
  const { layers, experts, expertsPerToken } = first.shape;
  const merged = new ActivationTrace(first.shape, windowRows);
  for (const { shape } of traces) {
    if (shape.layers !== layers || shape.experts !== experts || shape.expertsPerToken !== expertsPerToken) {
      throw new JanusError(
        `activation traces of different models: ${JSON.stringify(first.shape)} and ${JSON.stringify(shape)}; merge ` +
          `those of one model`,
      );
    }
  }
  for (let layer = 0; layer < layers; layer += 1) {
    const total = traces.reduce((sum, trace) => sum + trace.rows(layer), 0);
    const share = Math.min(1, windowRows / total);
    for (const trace of traces) {
      const rows = Math.floor(trace.rows(layer) * share);
      const window = trace.window(layer);
      merged.record(layer, window.subarray(window.length - rows * expertsPerToken), rows);
    }
  }
  return merged;
}

const bytesPerId = (experts: number): number => (experts <= BYTE_EXPERTS ? 1 : 2);

const broken = (why: string): JanusError =>
  new JanusError(`the stored activation trace is broken: ${why}; delete it, the hosts will write it anew`);
