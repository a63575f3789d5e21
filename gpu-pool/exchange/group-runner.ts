import type { ExpertCompute, PairsCompute } from '../runtime/expert-compute.ts';
import type { Lane } from './lane.ts';

/** Runs the groups that a lane's schedule gives to one instance, from the lane's `hidden` to its `outputs`. */
export class GroupRunner {
  readonly #compute: ExpertCompute;
  readonly #computePairs: PairsCompute | undefined;
  /** `[maxRows, H]` */
  readonly #gathered: Float32Array;
  readonly #gatheredBytes: Buffer;

  constructor(maxRows: number, hiddenSize: number, compute: ExpertCompute, computePairs?: PairsCompute) {
    this.#compute = compute;
    this.#computePairs = computePairs;
    this.#gathered = new Float32Array(maxRows * hiddenSize);
    this.#gatheredBytes = Buffer.from(this.#gathered.buffer);
  }

  /** Runs all groups of `instance`. */
  run(lane: Lane, instance: number): void {
    const first = lane.groups.instanceStart[instance]!;
    const groups = groupsOf(lane, instance);
    for (let group = first; group < first + groups; group++) this.#runGroup(lane, group);
  }

  /**
   * Runs those groups of the share of `instance`, at `index` on its host, that nobody else has taken; the last one that is
   * done, here or elsewhere, answers the request.
   * @returns number of groups that were run here
   */
  runShare(lane: Lane, index: number, instance: number, request: number): number {
    const first = lane.groups.instanceStart[instance]!;
    let taken = 0;
    for (let group = lane.takeGroup(index, request); group >= 0; group = lane.takeGroup(index, request)) {
      let failure: string | undefined;
      try {
        this.#runGroup(lane, first + group);
      } catch (error) {
        failure = error instanceof Error ? error.message : String(error);
      }
      lane.finishGroup(index, request, failure);
      taken++;
    }
    return taken;
  }

  /** The rows of one expert lie anywhere in `hidden`, but next to each other in `outputs`. */
  #runGroup(lane: Lane, group: number): void {
    const { hiddenSize } = lane.shape;
    const { layer, hidden, outputs } = lane;
    const { groupStart, groupExpert, groupPairs } = lane.groups;
    const start = groupStart[group]!;
    const rows = groupStart[group + 1]! - start;
    const expert = groupExpert[group]!;
    if (this.#computePairs?.(layer, expert, hidden, groupPairs, start, rows, outputs)) return;
    const output = outputs.subarray(start * hiddenSize, (start + rows) * hiddenSize);
    this.#compute(layer, expert, this.#gather(lane, start, rows), rows, output);
  }

  /** Input `[M, H]` of a group: a view where the rows happen to follow each other, else a copy. */
  #gather(lane: Lane, start: number, rows: number): Float32Array {
    const { hiddenSize, expertsPerToken } = lane.shape;
    const { groupPairs } = lane.groups;
    const first = Math.floor(groupPairs[start]! / expertsPerToken);
    const last = Math.floor(groupPairs[start + rows - 1]! / expertsPerToken);
    if (last - first === rows - 1) return lane.hidden.subarray(first * hiddenSize, (last + 1) * hiddenSize);
    const rowBytes = hiddenSize * 4;
    for (let i = 0; i < rows; i++) {
      const from = Math.floor(groupPairs[start + i]! / expertsPerToken) * rowBytes;
      lane.hiddenBytes.copy(this.#gatheredBytes, i * rowBytes, from, from + rowBytes);
    }
    return this.#gathered.subarray(0, rows * hiddenSize);
  }
}

/** Activated experts in the share of `instance`. */
export function groupsOf(lane: Lane, instance: number): number {
  return lane.groups.instanceStart[instance + 1]! - lane.groups.instanceStart[instance]!;
}
