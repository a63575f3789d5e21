/** A GGUF file as read back: an independent, plain reading of the specification. */
export interface GgufFile {
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly tensors: readonly {
    readonly name: string;
    readonly dimensions: readonly number[];
    readonly type: number;
    /** From the beginning of `data`. */
    readonly offset: number;
  }[];
  readonly data: Buffer;
}

const ALIGNMENT_BYTES = 32;

/** Reads a whole GGUF file, version 3. */
export function readGguf(file: Buffer): GgufFile {
  let at = 0;
  const take = <T>(bytes: number, read: (position: number) => T): T => {
    at += bytes;
    return read(at - bytes);
  };
  const uint32 = (): number => take(4, (p) => file.readUInt32LE(p));
  const uint64 = (): number => Number(take(8, (p) => file.readBigUInt64LE(p)));
  const string = (): string => {
    const length = uint64();
    return take(length, (p) => file.toString('utf8', p, p + length));
  };
  const value = (type: number): unknown => {
    if (type === 4) return uint32();
    if (type === 5) return take(4, (p) => file.readInt32LE(p));
    if (type === 6) return take(4, (p) => file.readFloatLE(p));
    if (type === 7) return take(1, (p) => file.readUInt8(p) === 1);
    if (type === 8) return string();
    if (type !== 9) throw new Error(`Value type ${type}`);
    const element = uint32();
    return Array.from({ length: uint64() }, () => value(element));
  };
  if (file.toString('latin1', 0, 4) !== 'GGUF') throw new Error('No GGUF');
  at = 4;
  if (uint32() !== 3) throw new Error('Not version 3');
  const tensorCount = uint64();
  const entryCount = uint64();
  const metadata = Object.fromEntries(
    Array.from({ length: entryCount }, () => {
      const key = string();
      return [key, value(uint32())];
    }),
  );
  const tensors = Array.from({ length: tensorCount }, () => {
    const name = string();
    const dimensions = Array.from({ length: uint32() }, uint64);
    return { name, dimensions, type: uint32(), offset: uint64() };
  });
  return { metadata, tensors, data: file.subarray(Math.ceil(at / ALIGNMENT_BYTES) * ALIGNMENT_BYTES) };
}
