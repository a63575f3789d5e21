import fs from 'node:fs';

export interface TensorToWrite {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** Writes a well-formed safetensors file. */
export function writeSafetensors(path: string, tensors: readonly TensorToWrite[]): void {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  let offset = 0;
  for (const { name, dtype, shape, bytes } of tensors) {
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes.length] };
    offset += bytes.length;
  }
  writeRawSafetensors(
    path,
    JSON.stringify(header),
    tensors.map(({ bytes }) => bytes),
  );
}

/** Writes a safetensors file with any header, right or wrong, and any header length. */
export function writeRawSafetensors(
  path: string,
  header: string,
  data: readonly Uint8Array[],
  headerLength = BigInt(Buffer.byteLength(header)),
): void {
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(headerLength);
  fs.writeFileSync(path, Buffer.concat([prefix, Buffer.from(header), ...data]));
}
