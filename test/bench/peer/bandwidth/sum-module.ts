const WASM_PAGE_BYTES = 65_536;

/** Unsigned LEB128, as WebAssembly writes numbers. */
function leb128(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest & 0x7f;
    rest >>>= 7;
    bytes.push(rest === 0 ? low : low | 0x80);
  } while (rest !== 0);
  return bytes;
}

const section = (id: number, content: readonly number[]): number[] => [
  id,
  ...leb128(content.length),
  ...content,
];
const name = (text: string): number[] => [...leb128(text.length), ...Buffer.from(text)];

const I32 = 0x7f;
const V128 = 0x7b;
const LOCAL_GET = 0x20;
const LOCAL_SET = 0x21;
const LOCAL_TEE = 0x22;
const I32X4_ADD = [0xfd, 0xae, 0x01];
const END = 0x0b;
/** Independent sums, so that no addition waits for the one before. */
const SUMS = [2, 3, 4, 5];

/** `sums[i] += memory[pointer + 16 · i …]`, four 32-bit numbers at once. */
const addVector = (local: number, i: number): number[] => [
  ...[LOCAL_GET, local],
  ...[LOCAL_GET, 0],
  // v128.load, aligned to 2^4 bytes, at offset 16 · i.
  ...[0xfd, 0x00, 0x04, ...leb128(16 * i)],
  ...I32X4_ADD,
  ...[LOCAL_SET, local],
];

/** `sum(pointer, end)`: reads the bytes in between, a multiple of 64, once, and gives a number that depends on them. */
const SUM_CODE = [
  ...[1, SUMS.length, V128],
  // loop
  ...[0x03, 0x40],
  ...SUMS.flatMap(addVector),
  // pointer += 64 (i32.const, i32.add); repeat while it is below `end` (i32.lt_u, br_if).
  ...[LOCAL_GET, 0, 0x41, 0xc0, 0x00, 0x6a, LOCAL_TEE, 0, LOCAL_GET, 1, 0x49, 0x0d, 0x00],
  END,
  ...[LOCAL_GET, 2, LOCAL_GET, 3, ...I32X4_ADD, LOCAL_GET, 4, ...I32X4_ADD, LOCAL_GET, 5, ...I32X4_ADD],
  // i32x4.extract_lane 0
  ...[0xfd, 0x1b, 0x00],
  END,
];

/**
 * A WebAssembly module that reads memory with 128-bit loads as fast as the machine gives it.
 *
 * @param bytes size of its memory, which it exports as `memory` beside the function `sum`
 */
export function sumModule(bytes: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, [1, 0x60, 2, I32, I32, 1, I32]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, ...leb128(Math.ceil(bytes / WASM_PAGE_BYTES))]),
    ...section(7, [2, ...name('memory'), 2, 0, ...name('sum'), 0, 0]),
    ...section(10, [1, ...leb128(SUM_CODE.length), ...SUM_CODE]),
  ]);
}
