import type { Kernels } from '../../kernels/kernels.ts';
import { TILE_ROWS } from '../../kernels/tile8.ts';
import type { TaskRunner } from '../../team/team-board.ts';
import type { QuantizedProducts } from './quantized-products.ts';

/** Parts of a layer that the threads of a host share. The arguments of each kind follow its name, in their order. */
export const TaskKind = {
  /** `ProductKind`, weights, K, block size, activations, rows, output, output stride; units: tiles */
  linear: 0,
  /** As `linear` for three matrices that follow each other: …, rows, their outputs, their tiles, bytes of a tile. */
  project: 1,
  /** spans, queries, output, heads, key-value heads, D; units: spans × key-value heads */
  attend: 2,
  /** source, rows, K, weights, output, output stride; units: outputs */
  linearFloat: 3,
} as const;

/** Integers of one span of an `attend` task: first row, rows, keys, values, length. */
export const SPAN_WORDS = 5;

const FLOAT_BYTES = 4;

/**
 * Computes parts of tasks on the calling thread.
 *
 * @param products of the calling thread
 * @param memory that `kernels` are bound to
 * @param scratch offset of memory that no other thread uses, enough for attention over the longest context
 */
export function kernelTasks(
  kernels: Kernels,
  products: QuantizedProducts,
  memory: WebAssembly.Memory,
  scratch: number,
): TaskRunner {
  const words = new Int32Array(memory.buffer);
  return (kind, a, begin, end) => {
    switch (kind) {
      case TaskKind.linear:
        return products.linear(a[0]!, a[1]!, a[2]!, a[3]!, begin, end, a[4]!, a[5]!, a[6]!, a[7]!);
      case TaskKind.project:
        return project(products, a, begin, end);
      case TaskKind.attend:
        return attend(kernels, words, scratch, a, begin, end);
      case TaskKind.linearFloat:
        return kernels.linearFloat(a[0]!, a[1]!, a[2]!, a[3]!, begin, end, a[4]!, a[5]!);
    }
  };
}

function project(products: QuantizedProducts, a: Int32Array, begin: number, end: number): void {
  const tileBytes = a[12]!;
  let first = 0;
  for (let matrix = 0; matrix < 3; matrix++) {
    const tiles = a[9 + matrix]!;
    const from = Math.max(begin - first, 0);
    const to = Math.min(end - first, tiles);
    const weights = a[1]! + first * tileBytes;
    const stride = tiles * TILE_ROWS;
    if (from < to) {
      products.linear(a[0]!, weights, a[2]!, a[3]!, from, to, a[4]!, a[5]!, a[6 + matrix]!, stride);
    }
    first += tiles;
  }
}

function attend(
  kernels: Kernels,
  words: Int32Array,
  scratch: number,
  a: Int32Array,
  begin: number,
  end: number,
): void {
  const heads = a[3]!;
  const kvHeads = a[4]!;
  const headSize = a[5]!;
  const scale = 1 / Math.sqrt(headSize);
  const rowBytes = heads * headSize * FLOAT_BYTES;
  for (let unit = begin; unit < end; ) {
    const index = Math.floor(unit / kvHeads);
    const span = (a[0]! >>> 2) + index * SPAN_WORDS;
    // Heads of one sequence are taken together: a position's keys lie side by side.
    const kvHead = unit - index * kvHeads;
    const kvHeadEnd = Math.min(kvHeads, kvHead + end - unit);
    const at = words[span]! * rowBytes;
    kernels.attend(
      a[1]! + at,
      words[span + 1]!,
      words[span + 2]!,
      words[span + 3]!,
      words[span + 4]!,
      kvHead,
      kvHeadEnd,
      heads,
      kvHeads,
      headSize,
      scale,
      a[2]! + at,
      scratch,
    );
    unit += kvHeadEnd - kvHead;
  }
}
