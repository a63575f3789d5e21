/** Number formats of the checkpoint that can be loaded, and how their little-endian bytes become f32. */
const readers = {
  F32: (source: Uint8Array<ArrayBuffer>, target: Float32Array): void => {
    target.set(new Float32Array(source.buffer, source.byteOffset, target.length));
  },
  F16: (source: Uint8Array<ArrayBuffer>, target: Float32Array): void => {
    const halves = new Float16Array(source.buffer, source.byteOffset, target.length);
    for (let i = 0; i < halves.length; i++) target[i] = halves[i];
  },
  // bf16 is the upper half of f32.
  BF16: (source: Uint8Array<ArrayBuffer>, target: Float32Array): void => {
    const halves = new Uint16Array(source.buffer, source.byteOffset, target.length);
    const words = new Uint32Array(target.buffer, target.byteOffset, target.length);
    for (let i = 0; i < halves.length; i++) words[i] = halves[i] << 16;
  },
};

export type NumberFormat = keyof typeof readers;

export const numberFormats = Object.keys(readers) as readonly NumberFormat[];

export const isNumberFormat = (dtype: string): dtype is NumberFormat => Object.hasOwn(readers, dtype);

export const bytesPerElement = (format: NumberFormat): number => (format === 'F32' ? 4 : 2);

/**
 * Widens numbers to f32, exactly.
 *
 * @param source `target.length` numbers in `format`, aligned to their size
 */
export const toFloat32 = (
  format: NumberFormat,
  source: Uint8Array<ArrayBuffer>,
  target: Float32Array,
): void => readers[format](source, target);
