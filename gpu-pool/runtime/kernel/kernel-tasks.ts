import type { Kernels } from '../../kernels/kernels.ts';
import { attentionPartBytes } from '../../kernels/sizes.ts';
import type { TaskRunner } from '../../team/team-board.ts';
import { unitsOf } from './product-kind.ts';
import type { QuantizedProducts } from './quantized-products.ts';
import {
  SPAN_FIRST_ROW,
  SPAN_FIRST_SEGMENT,
  SPAN_KEYS,
  SPAN_LENGTH,
  SPAN_ROWS,
  SPAN_SEGMENTS_LEFT,
  SPAN_VALUES,
  SPAN_WORDS,
  segmentsOf,
} from './span-table.ts';

/** Parts of a layer that the threads of a host share. The arguments of each kind follow its name, in their order. */
export const TaskKind = {
  /** `ProductKind`, weights, K, block size, activations, rows, output, outputs; units: those of the kind */
  linear: 0,
  /** `ProductKind`, K, block size, activations, rows, and of each of three matrices weights, output and outputs. */
  project: 1,
  /** spans, queries, output, heads, key-value heads, D; units: spans × key-value heads */
  attend: 2,
  /** source, rows, K, weights, output, output stride; units: outputs */
  linearFloat: 3,
  /** spans of one row, queries, output, heads, key-value heads, D, parts; units: the segments of all spans, one behind the other */
  attendSegments: 4,
} as const;

const FLOAT_BYTES = 4;

/**
 * Computes parts of tasks on the calling thread.
 *
 * @param products of the calling thread
 * @param memory that `kernels` are bound to
 * @param scratch offset of memory that no other thread uses, `attentionScratchBytes` at least
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
      case TaskKind.attendSegments:
        return attendSegments(kernels, words, scratch, a, begin, end);
    }
  };
}

function project(products: QuantizedProducts, a: Int32Array, begin: number, end: number): void {
  const kind = a[0]!;
  let first = 0;
  for (let matrix = 0; matrix < 3; matrix++) {
    const outputs = a[11 + matrix]!;
    const units = unitsOf(kind, outputs);
    const from = Math.max(begin - first, 0);
    const to = Math.min(end - first, units);
    if (from < to)
      products.linear(kind, a[5 + matrix]!, a[1]!, a[2]!, from, to, a[3]!, a[4]!, a[8 + matrix]!, outputs);
    first += units;
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
    const at = words[span + SPAN_FIRST_ROW]! * rowBytes;
    kernels.attend(
      a[1]! + at,
      words[span + SPAN_ROWS]!,
      words[span + SPAN_KEYS]!,
      words[span + SPAN_VALUES]!,
      words[span + SPAN_LENGTH]!,
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

/** Who makes the last part of a span joins them all. */
function attendSegments(
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
  const partBytes = attentionPartBytes(heads, kvHeads, headSize);
  let span = a[0]! >>> 2;
  for (let unit = begin; unit < end; span += SPAN_WORDS) {
    const first = words[span + SPAN_FIRST_SEGMENT]!;
    const length = words[span + SPAN_LENGTH]!;
    const segments = segmentsOf(length);
    if (unit >= first + segments) continue;
    const until = Math.min(end, first + segments);
    const at = words[span + SPAN_FIRST_ROW]! * heads * headSize * FLOAT_BYTES;
    const parts = a[6]! + first * partBytes;
    kernels.attendSegments(
      a[1]! + at,
      words[span + SPAN_KEYS]!,
      words[span + SPAN_VALUES]!,
      length,
      unit - first,
      until - first,
      heads,
      kvHeads,
      headSize,
      scale,
      parts,
      scratch,
    );
    const taken = until - unit;
    if (Atomics.sub(words, span + SPAN_SEGMENTS_LEFT, taken) === taken)
      kernels.joinSegments(parts, length, heads, kvHeads, headSize, a[2]! + at, scratch);
    unit = until;
  }
}
