/** Words of a round's memory. */
/** One more than the index of the instance that holds the lock; 0 while it is free. */
const LOCK = 0;
/** Number of the round that runs or ran last; it changes when a round begins. */
const ROUND = 1;
/** Bit masks of instances. */
const ACTIVE = 2;
const JOINED = 3;
const PARTICIPANTS = 4;
const ARRIVED = 5;
/** Instances whose thread has ended. They stay in the other masks, and count in none of them. */
const LOST = 6;
/** First instance of the round: the one that sends for all. */
const LEADER = 7;
/** Number of layer steps that were released, in all rounds. */
const RELEASED = 8;
/** How the layer step released last ended, see `RoundOutcome`. */
const OUTCOME = 9;
/** Each changes whenever the leader, or a follower, has a reason to look again at what it waits for. */
const LEADER_NEWS = 10;
const FOLLOWER_NEWS = 11;
const WORDS = 16;
const RoundOutcome = { done: 0, failed: 1, interrupted: 2 } as const;
const FAILURE_TEXT_BYTES = 512;

/** Attention instances of one host that can step together; their set is a mask of 31 bits. */
export const ROUND_INSTANCE_LIMIT = 31;
/** Longest that an instance waits for others that have work before it begins a round without them. */
const GATHER_LIMIT_MS = 2;
/** Longest single wait before the reason for it is looked at again. */
const WAIT_SLICE_MS = 100;

/** The layer step that the leader sent for all has failed. */
export class RoundFailure extends Error {
  override readonly name = 'RoundFailure';
  /** It may be sent again. */
  readonly isInterruption: boolean;
  constructor(message: string, isInterruption: boolean) {
    super(message);
    this.isInterruption = isInterruption;
  }
}

export const allocateRound = (): SharedArrayBuffer => new SharedArrayBuffer(WORDS * 4 + FAILURE_TEXT_BYTES);

/**
 * Lets the attention instances of one host step together, so that their rows leave as one payload: the first phase of the
 * exchange. A *round* is one step, all layers of it, of the instances that joined it before it began.
 *
 * Before a step each instance joins. The round begins when all that have work have joined, or a moment later without
 * those that have not; who comes late waits for the next one. In each layer all participants arrive with their rows; the
 * leader, the first of them, sends for all and releases the others. An instance that fails leaves, and is not waited for;
 * when the leader leaves, the next one leads. An instance whose thread has ended is counted nowhere from then on, and a
 * layer step that it led fails.
 *
 * One object per instance, on its thread, over memory that they share. All waits block the thread. A thread may end
 * anywhere, also while it holds the lock: so whatever is changed under the lock is right, or made right by the next
 * attempt, after each single change.
 */
export class HostRound {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #failure: Uint8Array<SharedArrayBuffer>;
  readonly #bit: number;
  readonly #index: number;
  /** Value of `RELEASED` that says that the layer step of the last arrival is not released yet. */
  #unreleased = 0;

  /** @param index of this instance on its host, below `ROUND_INSTANCE_LIMIT` */
  constructor(memory: SharedArrayBuffer, index: number) {
    this.#words = new Int32Array(memory, 0, WORDS);
    this.#failure = new Uint8Array(memory, WORDS * 4, FAILURE_TEXT_BYTES);
    this.#index = index;
    this.#bit = 1 << index;
  }

  /** True while this instance sends for all participants of the round. */
  get isLeader(): boolean {
    return Atomics.load(this.#words, LEADER) === this.#index;
  }

  /** Mask of the instances in the running round that have neither left nor ended; 0 when none runs. */
  get participants(): number {
    return this.#living(PARTICIPANTS);
  }

  /** Says whether this instance has work, so that others wait for it, or do not. */
  setActive(active: boolean): void {
    this.#locked(() => {
      if (active) Atomics.or(this.#words, ACTIVE, this.#bit);
      else Atomics.and(this.#words, ACTIVE, ~this.#bit);
      this.#beginIfComplete();
    });
  }

  /** Joins the next round and returns when it has begun. */
  join(): void {
    this.#locked(() => {
      Atomics.or(this.#words, JOINED, this.#bit);
      this.#beginIfComplete();
    });
    for (;;) {
      const round = Atomics.load(this.#words, ROUND);
      if (this.#takesPart()) return;
      // The others have this time from the end of a round on, so a wait that began before it does not count.
      const gathers = this.participants === 0;
      const outcome = Atomics.wait(this.#words, ROUND, round, GATHER_LIMIT_MS);
      if (outcome === 'timed-out' && gathers) this.#locked(() => this.#beginAnyway());
    }
  }

  /** Any participant: its rows of the layer step are in place. */
  arrive(): void {
    this.#unreleased = Atomics.load(this.#words, RELEASED);
    Atomics.or(this.#words, ARRIVED, this.#bit);
    tell(this.#words, LEADER_NEWS);
  }

  /** Leader: returns the mask of the participants when all that have not left have arrived. */
  waitForArrivals(): number {
    for (;;) {
      const news = Atomics.load(this.#words, LEADER_NEWS);
      const { participants } = this;
      if ((participants & ~Atomics.load(this.#words, ARRIVED)) === 0) return participants;
      Atomics.wait(this.#words, LEADER_NEWS, news, WAIT_SLICE_MS);
    }
  }

  /** Leader: the layer step has ended for all, with an error where `failure` says so; `interrupted` where it may be sent again. */
  release(failure?: string, interrupted = false): void {
    if (failure !== undefined) {
      this.#failure.fill(0);
      this.#failure.set(new TextEncoder().encode(failure).subarray(0, FAILURE_TEXT_BYTES));
    }
    const failed = interrupted ? RoundOutcome.interrupted : RoundOutcome.failed;
    Atomics.store(this.#words, OUTCOME, failure === undefined ? RoundOutcome.done : failed);
    Atomics.store(this.#words, ARRIVED, 0);
    Atomics.add(this.#words, RELEASED, 1);
    tell(this.#words, FOLLOWER_NEWS);
  }

  /**
   * Follower: returns true when the leader has released the layer step of the last arrival, and false when the leader has
   * left before that and this instance is to lead it.
   *
   * @throws RoundFailure with the leader's failure, or when the leader's thread has ended
   */
  waitForRelease(): boolean {
    for (;;) {
      const news = Atomics.load(this.#words, FOLLOWER_NEWS);
      // Read before `RELEASED`: a leader that has released and then left or ended has still released.
      const leader = Atomics.load(this.#words, LEADER);
      const isLost = (Atomics.load(this.#words, LOST) & (1 << leader)) !== 0;
      if (Atomics.load(this.#words, RELEASED) !== this.#unreleased) {
        const outcome = Atomics.load(this.#words, OUTCOME);
        if (outcome === RoundOutcome.done) return true;
        throw new RoundFailure(this.#readFailure(), outcome === RoundOutcome.interrupted);
      }
      if (leader === this.#index) return false;
      if (isLost) throw new RoundFailure('the attention instance that sent for this host has ended', true);
      Atomics.wait(this.#words, FOLLOWER_NEWS, news, WAIT_SLICE_MS);
    }
  }

  /** Leaves the round, at its end or before; the next one may begin when all have left. */
  leave(): void {
    this.#locked(() => {
      Atomics.and(this.#words, PARTICIPANTS, ~this.#bit);
      const { participants } = this;
      if (this.isLeader && participants !== 0) Atomics.store(this.#words, LEADER, lowest(participants));
      this.#beginIfComplete();
    });
    tell(this.#words, LEADER_NEWS);
    tell(this.#words, FOLLOWER_NEWS);
  }

  #takesPart(): boolean {
    return (Atomics.load(this.#words, PARTICIPANTS) & this.#bit) !== 0;
  }

  #living(mask: number): number {
    return Atomics.load(this.#words, mask) & ~Atomics.load(this.#words, LOST);
  }

  #beginIfComplete(): void {
    if ((this.#living(ACTIVE) & ~this.#living(JOINED)) === 0) this.#begin();
  }

  /** Begins a round without those that have not joined. */
  #beginAnyway(): void {
    // A thread that ended while it began a round may have taken this instance out of the one without putting it in the other.
    if (!this.#takesPart()) Atomics.or(this.#words, JOINED, this.#bit);
    this.#begin();
  }

  #begin(): void {
    const joined = this.#living(JOINED);
    if (this.participants !== 0 || joined === 0) return;
    // Participants are set last, since a round runs from then on.
    Atomics.store(this.#words, JOINED, 0);
    Atomics.store(this.#words, ARRIVED, 0);
    Atomics.store(this.#words, LEADER, lowest(joined));
    Atomics.store(this.#words, PARTICIPANTS, joined);
    tell(this.#words, ROUND);
  }

  /** Text of the leader's failure. The copy is needed because a decoder takes no shared memory. */
  #readFailure(): string {
    const end = this.#failure.indexOf(0);
    return new TextDecoder().decode(this.#failure.slice(0, end < 0 ? FAILURE_TEXT_BYTES : end));
  }

  #locked(change: () => void): void {
    const own = this.#index + 1;
    for (;;) {
      const holder = Atomics.compareExchange(this.#words, LOCK, 0, own);
      if (holder === 0) break;
      Atomics.wait(this.#words, LOCK, holder, WAIT_SLICE_MS);
    }
    try {
      change();
    } finally {
      unlock(this.#words, this.#index);
    }
  }
}

/** Lowest index in a mask of instances. */
const lowest = (mask: number): number => 31 - Math.clz32(mask & -mask);

/** Changes `word` and wakes all that wait for a change of it. */
function tell(words: Int32Array<SharedArrayBuffer>, word: number): void {
  Atomics.add(words, word, 1);
  Atomics.notify(words, word);
}

function unlock(words: Int32Array<SharedArrayBuffer>, index: number): void {
  if (Atomics.compareExchange(words, LOCK, index + 1, 0) === index + 1) Atomics.notify(words, LOCK, 1);
}

/**
 * Takes the instance at `index`, whose thread has ended, out of the round. Where it was the leader, the layer step fails for
 * those that wait for it, and may be sent again. Never waits, so the main thread of a host may call it.
 */
export function dropFromRound(memory: SharedArrayBuffer, index: number): void {
  const words = new Int32Array(memory, 0, WORDS);
  Atomics.or(words, LOST, 1 << index);
  unlock(words, index);
  tell(words, LEADER_NEWS);
  tell(words, FOLLOWER_NEWS);
}

/**
 * Lets another thread take the place of an instance that was dropped. Returns false, and does nothing, while others are in the
 * round in which it ended: they must still see that it has. Never waits either.
 */
export function readmitToRound(memory: SharedArrayBuffer, index: number): boolean {
  const words = new Int32Array(memory, 0, WORDS);
  const bit = 1 << index;
  const participants = Atomics.load(words, PARTICIPANTS);
  const isLeft = (participants & ~Atomics.load(words, LOST)) === 0;
  if ((participants & bit) !== 0 && !isLeft) return false;
  for (const mask of [ACTIVE, JOINED, PARTICIPANTS, ARRIVED]) Atomics.and(words, mask, ~bit);
  Atomics.and(words, LOST, ~bit);
  return true;
}
