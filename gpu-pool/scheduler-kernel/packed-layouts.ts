import type { LayoutIndex } from '../../shared/scheduler/layout-index.ts';
import { LAYOUT_HEAD_WORDS } from './aebs-shader.ts';

/** Layouts in the form that the shader reads, one behind the other. */
export interface PackedLayouts {
  readonly words: Int32Array<ArrayBuffer>;
  /** [layouts]: where each begins in `words`. */
  readonly starts: readonly number[];
}

/** Packs layouts as the shader's `layouts` has them. */
export function packLayouts(layouts: readonly LayoutIndex[]): PackedLayouts {
  const packed = layouts.map(packLayout);
  const starts: number[] = [];
  let length = 0;
  for (const { length: own } of packed) {
    starts.push(length);
    length += own;
  }
  const words = new Int32Array(length);
  for (const [layout, own] of packed.entries()) words.set(own, starts[layout]);
  return { words, starts };
}

function packLayout(index: LayoutIndex): Int32Array {
  const { experts, instances, hostOffsets, order, hostInstances, replicas } = index;
  const words = new Int32Array(LAYOUT_HEAD_WORDS + hostOffsets.length + order.length + hostInstances.length);
  const withoutReplica = replicas.filter((count) => count === 0).length;
  const withoutChoice = replicas.filter((count) => count <= 1).length;
  words.set([experts, instances, withoutReplica, withoutChoice]);
  words.set(hostOffsets, LAYOUT_HEAD_WORDS);
  words.set(order, LAYOUT_HEAD_WORDS + hostOffsets.length);
  words.set(hostInstances, LAYOUT_HEAD_WORDS + hostOffsets.length + order.length);
  return words;
}
