/*
 * (func (export "dot") (param $activation i32) (param $code i32) (result i32)
 *   (i16x8.extract_lane_s 0 (i16x8.relaxed_dot_i8x16_i7x16_s
 *     (i8x16.splat (local.get $activation)) (i8x16.splat (local.get $code)))))
 */
const DOT_MODULE = Uint8Array.of(
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
  ...[0x01, 0x07, 0x01, 0x60, 0x02, 0x7f, 0x7f, 0x01, 0x7f],
  ...[0x03, 0x02, 0x01, 0x00],
  ...[0x07, 0x07, 0x01, 0x03, 0x64, 0x6f, 0x74, 0x00, 0x00],
  ...[0x0a, 0x12, 0x01, 0x10, 0x00, 0x20, 0x00, 0xfd, 0x0f, 0x20, 0x01, 0xfd, 0x0f],
  ...[0xfd, 0x92, 0x02, 0xfd, 0x18, 0x00, 0x0b],
);

/**
 * True where this machine and this Node can run the kernels. Tries the dot product of bytes that they are made of. All processors
 * agree on what it does with the 4-bit codes that the kernels give it (8-bit codes are taken in halves), so what can be missing is
 * relaxed SIMD altogether.
 */
export function kernelsRun(): boolean {
  if (!WebAssembly.validate(DOT_MODULE)) return false;
  const { dot } = new WebAssembly.Instance(new WebAssembly.Module(DOT_MODULE)).exports as {
    dot(activation: number, code: number): number;
  };
  return [-127, 127].every((activation) => dot(activation, 15) === 2 * activation * 15);
}
