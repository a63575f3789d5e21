import type { KernelMemory } from '../kernels/kernel-memory.ts';
import { KERNEL_MEMORY_BYTES } from './kernel-coverage.ts';

/**
 * Places in kernel memory for experts that come and go while their host serves. All are taken from the memory at the start,
 * since threads know it by the size that it had then; what is never used costs nothing.
 */
export class ExpertRoom {
  /** `[layers · E]`: where each expert lies, 0 where it is not held. Threads of the host read it. */
  readonly #offsets: Int32Array;
  readonly #experts: number;
  /** By layer; 0 where experts do not lie in kernel memory. */
  readonly #bytes: readonly number[];
  /** Free places by size. */
  readonly #free = new Map<number, number[]>();
  /** By layer the experts that were placed at the start. */
  readonly #placed: readonly number[];
  /** Experts per layer that there is room for beside those that were placed at the start. */
  spareExperts = 0;

  constructor(offsets: SharedArrayBuffer, experts: number, bytes: readonly number[]) {
    this.#offsets = new Int32Array(offsets);
    this.#experts = experts;
    this.#bytes = bytes;
    this.#placed = bytes.map((_, layer) => this.#heldOf(layer));
  }

  /** Takes room for `spare` more experts in each layer, or for as many as the memory holds. */
  reserve(memory: KernelMemory, spare: number): void {
    const perExpert = this.#bytes.reduce((sum, bytes) => sum + bytes, 0);
    if (perExpert === 0) return;
    const left = KERNEL_MEMORY_BYTES - memory.allocatedBytes;
    const fewest = Math.min(...this.#placed.filter((_, layer) => this.#bytes[layer]! > 0));
    this.spareExperts = Math.max(
      0,
      Math.min(spare, this.#experts - fewest, Math.floor(left / (perExpert + this.#bytes.length * 64)) - 1),
    );
    for (const bytes of this.#bytes.filter((size) => size > 0)) {
      for (let place = 0; place < this.spareExperts; place++) this.#keep(bytes, memory.allocate(bytes));
    }
  }

  /** Whether there is room for all experts of the model. */
  get holdsAll(): boolean {
    return this.#bytes.every(
      (bytes, layer) => bytes === 0 || this.#placed[layer]! + this.spareExperts >= this.#experts,
    );
  }

  /** Whether experts of `layer` lie in kernel memory. */
  holds(layer: number): boolean {
    return this.#bytes[layer]! > 0;
  }

  /** Gives an expert that the host does not hold a place; false where there is none. */
  take(layer: number, expert: number): boolean {
    const place = this.#free.get(this.#bytes[layer]!)?.pop();
    if (place === undefined) return false;
    this.#offsets[layer * this.#experts + expert] = place;
    return true;
  }

  /** Takes the place of an expert back that no thread asks for any more. */
  give(layer: number, expert: number): void {
    const at = layer * this.#experts + expert;
    this.#keep(this.#bytes[layer]!, this.#offsets[at]! >>> 0);
    this.#offsets[at] = 0;
  }

  #keep(bytes: number, place: number): void {
    const places = this.#free.get(bytes);
    if (places === undefined) this.#free.set(bytes, [place]);
    else places.push(place);
  }

  #heldOf(layer: number): number {
    const from = layer * this.#experts;
    return this.#offsets.subarray(from, from + this.#experts).filter((offset) => offset !== 0).length;
  }
}
