/**
 * Shared words of one host, by which its threads wake each other. Per expert instance one block of `WORDS_PER_INSTANCE`
 * 32-bit words, a cache line, so that two instances never write to the same line.
 */
const WORDS_PER_INSTANCE = 16;
const DOORBELL = 0;
const ALIVE = 1;
const LAYER_STEPS = 2;
const ACTIVATED_SUM = 3;
const ACTIVATED_MAX = 4;

/** What an expert instance counted since its start. Counts wrap at 2^32. */
export interface InstanceCounters {
  readonly layerSteps: number;
  readonly meanActivated: number;
  readonly maxActivated: number;
}

/** The doorbells, life signs and counters of the expert instances of one host, over one SharedArrayBuffer. */
export class HostMemory {
  readonly buffer: SharedArrayBuffer;
  /** Id, in the placement, of this host's first expert instance; its instances are numbered without gaps. */
  readonly firstInstance: number;
  readonly instances: number;
  readonly #words: Int32Array;

  constructor(firstInstance: number, instances: number, buffer?: SharedArrayBuffer) {
    this.firstInstance = firstInstance;
    this.instances = instances;
    this.buffer = buffer ?? new SharedArrayBuffer(Math.max(1, instances) * WORDS_PER_INSTANCE * 4);
    this.#words = new Int32Array(this.buffer);
  }

  #word(instance: number, word: number): number {
    return (instance - this.firstInstance) * WORDS_PER_INSTANCE + word;
  }

  /** Wakes `instance`, which looks for work in every lane and for control messages. */
  ring(instance: number): void {
    const word = this.#word(instance, DOORBELL);
    Atomics.add(this.#words, word, 1);
    Atomics.notify(this.#words, word);
  }

  /** Value of the doorbell of `instance`, to be read before looking for work and given to `waitForRing`. */
  rings(instance: number): number {
    return Atomics.load(this.#words, this.#word(instance, DOORBELL));
  }

  /** Blocks the calling thread until the doorbell of `instance` differs from `seen`, or `timeoutMs` passed. */
  waitForRing(instance: number, seen: number, timeoutMs: number): void {
    Atomics.wait(this.#words, this.#word(instance, DOORBELL), seen, timeoutMs);
  }

  setAlive(instance: number, alive: boolean): void {
    Atomics.store(this.#words, this.#word(instance, ALIVE), alive ? 1 : 0);
  }

  isAlive(instance: number): boolean {
    return Atomics.load(this.#words, this.#word(instance, ALIVE)) === 1;
  }

  /** Called by the instance itself after each layer step. */
  count(instance: number, activated: number): void {
    const base = this.#word(instance, 0);
    const words = this.#words;
    Atomics.add(words, base + LAYER_STEPS, 1);
    Atomics.add(words, base + ACTIVATED_SUM, activated);
    if (activated > words[base + ACTIVATED_MAX]!) Atomics.store(words, base + ACTIVATED_MAX, activated);
  }

  counters(instance: number): InstanceCounters {
    const base = this.#word(instance, 0);
    const read = (word: number) => Atomics.load(this.#words, base + word) >>> 0;
    const layerSteps = read(LAYER_STEPS);
    return {
      layerSteps,
      meanActivated: layerSteps === 0 ? 0 : read(ACTIVATED_SUM) / layerSteps,
      maxActivated: read(ACTIVATED_MAX),
    };
  }
}
