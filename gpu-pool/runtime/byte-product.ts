import { ModelBuilder } from './onnx/model-builder.ts';
import { GraphSession, view } from './session.ts';

/** What the bytes of the left matrix stand above their values. */
export const BYTE_ZERO = 128;

/** Products of matrices of bytes by ONNX Runtime, in 32-bit integers. One object per thread. */
export class ByteProduct {
  readonly #session: GraphSession;

  private constructor() {
    const builder = new ModelBuilder('byte product');
    const zero = builder.constant('uint8', [], Uint8Array.of(BYTE_ZERO));
    builder.input('left', 'uint8', ['M', 'K']);
    builder.input('right', 'int8', ['K', 'N']);
    builder.node('MatMulInteger', ['left', 'right', zero], {}, '', 'sums');
    builder.output('sums', 'int32', ['M', 'N']);
    this.#session = GraphSession.create('byte product', builder.build(), { memoryArena: true });
  }

  /**
   * Opens it where its sums are exact. Without VNNI instructions some processors add pairs of products in 16 bits, which is not.
   *
   * @returns null where they are not
   */
  static open(): ByteProduct | null {
    const product = new ByteProduct();
    if (product.#isExact()) return product;
    product.release();
    return null;
  }

  /** Tries the largest products, in a matrix that is large enough to take the path of large ones. */
  #isExact(): boolean {
    const [rows, inner, columns] = [17, 256, 64];
    const left = new Uint8Array(rows * inner).fill(255);
    const sums = new Int32Array(rows * columns);
    return [127, -128].every((value) => {
      this.run(left, rows, new Int8Array(inner * columns).fill(value), columns, sums);
      return sums.every((sum) => sum === (255 - BYTE_ZERO) * value * inner);
    });
  }

  /**
   * `sums = (left − BYTE_ZERO) · right`
   *
   * @param left `[rows, K]`
   * @param right `[K, columns]`
   * @param sums `[rows, columns]`, written
   */
  run(left: Uint8Array, rows: number, right: Int8Array, columns: number, sums: Int32Array): void {
    const inner = left.length / rows;
    this.#session.run(
      { left: view(left, rows, inner), right: view(right, inner, columns) },
      { sums: view(sums, rows, columns) },
    );
  }

  release(): void {
    this.#session.release();
  }
}
