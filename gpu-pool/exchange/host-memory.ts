/**
 * Shared words of one host, by which its threads wake each other. Per expert instance one block of `WORDS_PER_INSTANCE`
 * 32-bit words, a cache line, so that two instances never write to the same line.
 */
const WORDS_PER_INSTANCE = 16;
const DOORBELL = 0;
const ALIVE = 1;

/**
 * Counters lie behind the words, as doubles: a 32-bit sum of activated experts would wrap round within a day. Each is written
 * by its instance only, and an aligned 8-byte store is never seen half done on the 64-bit systems that Node runs on.
 */
const DOUBLES_PER_INSTANCE = WORDS_PER_INSTANCE / 2;
const LAYER_STEPS = 1;
const ACTIVATED_SUM = 2;
const ACTIVATED_MAX = 3;
const GROUPS = 4;
const GROUPS_MS = 5;

/** Behind the blocks of all instances: the oldest and the newest placement version that the host serves, as doubles. */
const OLDEST_VERSION = 0;
const NEWEST_VERSION = 1;

/** What an expert instance counted since its start. */
export interface InstanceCounters {
  readonly layerSteps: number;
  readonly meanActivated: number;
  readonly maxActivated: number;
  /** Groups of rows of one expert that its thread computed, and the milliseconds that they took. */
  readonly groups: number;
  readonly groupsMs: number;
}

/** The doorbells, life signs and counters of the expert instances of one host, over one SharedArrayBuffer. */
export class HostMemory {
  readonly buffer: SharedArrayBuffer;
  /** Id, in the placement, of this host's first expert instance; its instances are numbered without gaps. */
  readonly firstInstance: number;
  readonly instances: number;
  readonly #words: Int32Array;
  readonly #doubles: Float64Array;

  constructor(firstInstance: number, instances: number, buffer?: SharedArrayBuffer) {
    this.firstInstance = firstInstance;
    this.instances = instances;
    this.buffer = buffer ?? new SharedArrayBuffer((instances + 1) * WORDS_PER_INSTANCE * 4);
    this.#words = new Int32Array(this.buffer);
    this.#doubles = new Float64Array(this.buffer);
  }

  /**
   * Says which placement versions the host serves. Its own thread does, before any step of a new one is sent, and after the last
   * step of an old one.
   */
  serveVersions(oldest: number, newest: number): void {
    const first = this.instances * DOUBLES_PER_INSTANCE;
    this.#doubles[first + OLDEST_VERSION] = oldest;
    this.#doubles[first + NEWEST_VERSION] = newest;
  }

  /** Whether layer steps of placement `version` are served. A step is read after the versions, since its request is atomic. */
  serves(version: number): boolean {
    const oldest = this.#doubles[this.instances * DOUBLES_PER_INSTANCE + OLDEST_VERSION]!;
    return version >= oldest && version <= this.newestVersion;
  }

  get newestVersion(): number {
    return this.#doubles[this.instances * DOUBLES_PER_INSTANCE + NEWEST_VERSION]!;
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

  #counter(instance: number, counter: number): number {
    return (instance - this.firstInstance) * DOUBLES_PER_INSTANCE + counter;
  }

  /**
   * Called by the instance itself after each layer step.
   * @param activated experts of its share
   * @param groups of them that its own thread computed, in `tookMs`
   */
  count(instance: number, activated: number, groups: number, tookMs: number): void {
    const counters = this.#doubles;
    const max = this.#counter(instance, ACTIVATED_MAX);
    counters[this.#counter(instance, LAYER_STEPS)]! += 1;
    counters[this.#counter(instance, ACTIVATED_SUM)]! += activated;
    counters[this.#counter(instance, GROUPS)]! += groups;
    counters[this.#counter(instance, GROUPS_MS)]! += tookMs;
    if (activated > counters[max]!) counters[max] = activated;
  }

  counters(instance: number): InstanceCounters {
    const read = (counter: number) => this.#doubles[this.#counter(instance, counter)]!;
    const layerSteps = read(LAYER_STEPS);
    return {
      layerSteps,
      meanActivated: layerSteps === 0 ? 0 : read(ACTIVATED_SUM) / layerSteps,
      maxActivated: read(ACTIVATED_MAX),
      groups: read(GROUPS),
      groupsMs: read(GROUPS_MS),
    };
  }
}
