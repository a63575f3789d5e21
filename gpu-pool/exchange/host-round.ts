/** Words of a round's memory. */
const LOCK = 0;
/** Number of the round that runs or ran last; it changes when a round begins. */
const ROUND = 1;
/** Bit masks of instances. */
const ACTIVE = 2;
const JOINED = 3;
const PARTICIPANTS = 4;
const ARRIVED = 5;
/** First instance of the round: the one that sends for all. */
const LEADER = 6;
/** Number of layer steps that the leader has ended, in all rounds. */
const RELEASED = 7;
const FAILED = 8;
/** Changes whenever the leader has a reason to look again at who has arrived. */
const CHANGES = 9;
const WORDS = 16;
const FAILURE_TEXT_BYTES = 512;

/** Attention instances of one host that can step together; their set is a mask of 31 bits. */
export const ROUND_INSTANCE_LIMIT = 31;
/** Longest that an instance waits for others that have work before it begins a round without them. */
const GATHER_LIMIT_MS = 2;
/** Longest single wait before a lost wake-up or a lost instance is noticed. */
const WAIT_SLICE_MS = 100;

export const allocateRound = (): SharedArrayBuffer => new SharedArrayBuffer(WORDS * 4 + FAILURE_TEXT_BYTES);

/**
 * Lets the attention instances of one host step together, so that their rows leave as one payload: the first phase of the
 * exchange. A *round* is one step, all layers of it, of the instances that joined it before it began.
 *
 * Before a step each instance joins. The round begins when all that have work have joined, or a moment later without
 * those that have not; who comes late waits for the next one. In each layer all participants arrive with their rows; the
 * leader, the first of them, sends for all and releases the others. An instance that fails leaves, and is not waited for.
 *
 * One object per instance, on its thread, over memory that they share. All waits block the thread.
 */
export class HostRound {
  readonly #words: Int32Array;
  readonly #failure: Uint8Array;
  readonly #bit: number;
  readonly #index: number;
  #released = 0;

  /** @param index of this instance on its host, below `ROUND_INSTANCE_LIMIT` */
  constructor(memory: SharedArrayBuffer, index: number) {
    this.#words = new Int32Array(memory, 0, WORDS);
    this.#failure = new Uint8Array(memory, WORDS * 4, FAILURE_TEXT_BYTES);
    this.#index = index;
    this.#bit = 1 << index;
  }

  /** True while this instance sends for all participants of the round. */
  get isLeader(): boolean {
    return this.#words[LEADER] === this.#index;
  }

  /** Instances of the running round, ascending, in which none has left. */
  get participants(): number {
    return this.#words[PARTICIPANTS]!;
  }

  /** Says whether this instance has work, so that others wait for it, or do not. */
  setActive(active: boolean): void {
    this.#locked(() => {
      if (active) this.#words[ACTIVE]! |= this.#bit;
      else this.#words[ACTIVE]! &= ~this.#bit;
      this.#beginIfComplete();
    });
  }

  /** Joins the next round and returns when it has begun. */
  join(): void {
    this.#locked(() => {
      this.#words[JOINED]! |= this.#bit;
      this.#beginIfComplete();
    });
    for (;;) {
      const round = Atomics.load(this.#words, ROUND);
      if (this.#takesPart()) break;
      const outcome = Atomics.wait(this.#words, ROUND, round, GATHER_LIMIT_MS);
      if (outcome === 'timed-out') this.#locked(() => this.#begin());
    }
    this.#released = Atomics.load(this.#words, RELEASED);
  }

  /** Any participant: its rows of the layer step are in place. */
  arrive(): void {
    Atomics.or(this.#words, ARRIVED, this.#bit);
    change(this.#words);
  }

  /** Leader: returns when all participants that have not left have arrived. */
  waitForArrivals(): void {
    for (;;) {
      const seen = Atomics.load(this.#words, CHANGES);
      const missing = Atomics.load(this.#words, PARTICIPANTS) & ~Atomics.load(this.#words, ARRIVED);
      if (missing === 0) return;
      Atomics.wait(this.#words, CHANGES, seen, WAIT_SLICE_MS);
    }
  }

  /** Leader: the layer step has ended for all, with an error where `failure` says so. */
  release(failure?: string): void {
    Atomics.store(this.#words, ARRIVED, 0);
    releaseFollowers(this.#words, this.#failure, failure);
  }

  /** Follower: returns when the leader has released this layer step. @throws Error with the leader's failure */
  waitForRelease(): void {
    const before = this.#released;
    while (Atomics.load(this.#words, RELEASED) === before) {
      Atomics.wait(this.#words, RELEASED, before, WAIT_SLICE_MS);
    }
    this.#released = Atomics.load(this.#words, RELEASED);
    if (this.#words[FAILED] === 1) throw new Error(this.#readFailure());
  }

  /** Leaves the round, at its end or before; the next one may begin when all have left. */
  leave(): void {
    this.#locked(() => {
      Atomics.and(this.#words, PARTICIPANTS, ~this.#bit);
      this.#beginIfComplete();
    });
    change(this.#words);
  }

  #takesPart(): boolean {
    return (Atomics.load(this.#words, PARTICIPANTS) & this.#bit) !== 0;
  }

  #beginIfComplete(): void {
    const words = this.#words;
    if ((words[ACTIVE]! & ~words[JOINED]!) === 0) this.#begin();
  }

  #begin(): void {
    const words = this.#words;
    if (words[PARTICIPANTS] !== 0 || words[JOINED] === 0) return;
    const joined = words[JOINED]!;
    words[JOINED] = 0;
    words[ARRIVED] = 0;
    words[FAILED] = 0;
    words[LEADER] = 31 - Math.clz32(joined & -joined);
    Atomics.store(words, PARTICIPANTS, joined);
    Atomics.add(words, ROUND, 1);
    Atomics.notify(words, ROUND);
  }

  /** Text of the leader's failure. The copy is needed because a decoder takes no shared memory. */
  #readFailure(): string {
    const end = this.#failure.indexOf(0);
    return new TextDecoder().decode(this.#failure.slice(0, end < 0 ? FAILURE_TEXT_BYTES : end));
  }

  #locked(change: () => void): void {
    while (Atomics.compareExchange(this.#words, LOCK, 0, 1) !== 0) {
      Atomics.wait(this.#words, LOCK, 1, WAIT_SLICE_MS);
    }
    try {
      change();
    } finally {
      Atomics.store(this.#words, LOCK, 0);
      Atomics.notify(this.#words, LOCK, 1);
    }
  }
}

function change(words: Int32Array): void {
  Atomics.add(words, CHANGES, 1);
  Atomics.notify(words, CHANGES);
}

function releaseFollowers(words: Int32Array, text: Uint8Array, failure: string | undefined): void {
  if (failure !== undefined) {
    text.fill(0);
    text.set(new TextEncoder().encode(failure).subarray(0, FAILURE_TEXT_BYTES));
    Atomics.store(words, FAILED, 1);
  }
  Atomics.add(words, RELEASED, 1);
  Atomics.notify(words, RELEASED);
}

/**
 * Takes the instance at `index`, whose thread has ended, out of the round on its behalf. Where it was the leader, the layer
 * step fails for those that wait for it.
 */
export function dropFromRound(memory: SharedArrayBuffer, index: number): void {
  const words = new Int32Array(memory, 0, WORDS);
  for (const word of [ACTIVE, JOINED, PARTICIPANTS]) Atomics.and(words, word, ~(1 << index));
  if (Atomics.load(words, LEADER) === index && Atomics.load(words, PARTICIPANTS) !== 0) {
    const text = new Uint8Array(memory, WORDS * 4, FAILURE_TEXT_BYTES);
    releaseFollowers(words, text, 'the attention instance that sent for this host has ended');
  }
  change(words);
}
