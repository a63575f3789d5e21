import type { LayerStepShape } from '../../shared/protocol/layer-step.ts';
import type { SchedulerLimits } from '../../shared/scheduler/limits.ts';
import { rowGroupBytes } from '../../shared/scheduler/row-groups.ts';

/** A cache line: each array of a lane, and the words of each expert instance, start on one of their own. */
const LINE_BYTES = 64;
export const LINE_WORDS = LINE_BYTES / 4;
/** Words of a lane's head: a line that the sender writes, and one on which it waits. */
export const HEAD_WORDS = 2 * LINE_WORDS;
/** Bytes kept of the message of a failed share. */
export const FAILURE_TEXT_BYTES = 512;

/** Where a lane lies, as it is passed to other threads. In kernel memory, kernels work on it in place. */
export interface LaneMemory {
  readonly memory: SharedArrayBuffer | WebAssembly.Memory;
  /** Of its first byte, a multiple of a cache line. */
  readonly offset: number;
}

/** Sizes of a lane. */
export interface LaneOptions {
  readonly shape: LayerStepShape;
  /** Expert instances of this host, which answer in this lane. */
  readonly instances: number;
  /** Expert instances of the whole placement, and experts per layer. */
  readonly placedInstances: number;
  readonly experts: number;
}

/** One array of a lane. */
export interface LanePart {
  /** Of its first byte, from the beginning of the lane. */
  readonly offset: number;
  readonly bytes: number;
}

const onLines = (bytes: number): number => Math.ceil(bytes / LINE_BYTES) * LINE_BYTES;

/** Bounds of the schedule: all instances of the placement, not only those of the lane's host. */
export const laneLimits = ({ shape, experts, placedInstances }: LaneOptions): SchedulerLimits => ({
  maxTokens: shape.maxRows,
  topK: shape.expertsPerToken,
  experts,
  instances: placedInstances,
});

/** Control words, hidden, expert ids, gate weights, outputs, failures and groups, in this order. */
export function laneParts(options: LaneOptions): LanePart[] {
  const { shape, instances } = options;
  const pairs = shape.maxRows * shape.expertsPerToken;
  const sizes = [
    (HEAD_WORDS + instances * LINE_WORDS) * 4,
    shape.maxRows * shape.hiddenSize * 4,
    pairs * 4,
    pairs * 4,
    pairs * shape.hiddenSize * 4,
    instances * FAILURE_TEXT_BYTES,
    rowGroupBytes(laneLimits(options)),
  ];
  let offset = 0;
  return sizes.map((bytes) => {
    const part = { offset, bytes };
    offset += onLines(bytes);
    return part;
  });
}

/** Bytes of a lane. */
export function laneBytes(options: LaneOptions): number {
  const { offset, bytes } = laneParts(options).at(-1)!;
  return offset + onLines(bytes);
}
