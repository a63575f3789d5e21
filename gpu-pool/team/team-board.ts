import { JanusError } from '../../shared/errors/janus-error.ts';
import { readFixedText, writeFixedText } from '../../shared/text/fixed-text.ts';

/** Arguments of a task: 32-bit words, whose meaning is its kind's. */
export const TASK_ARGUMENTS = 16;
/** Chunks that a task can be cut into; the word that hands them out has room for no more beside its generation. */
const CHUNK_BITS = 12;
export const TASK_CHUNK_LIMIT = 2 ** CHUNK_BITS - 1;
const CHUNK_MASK = TASK_CHUNK_LIMIT;

/** A cache line: words that different threads write to lie on lines of their own. */
const LINE_WORDS = 16;
/** Generation of the task, and the chunk that is handed out next. */
const NEXT = 0;
const DONE = LINE_WORDS;
const FAILED = DONE + 1;
const KIND = 2 * LINE_WORDS;
const UNITS = KIND + 1;
const CHUNK_UNITS = KIND + 2;
const CHUNKS = KIND + 3;
const ARGUMENTS = 3 * LINE_WORDS;
const FAILURE_TEXT = ARGUMENTS + TASK_ARGUMENTS;
const FAILURE_TEXT_BYTES = 512;
const WORDS = FAILURE_TEXT + FAILURE_TEXT_BYTES / 4;

/** A thread ended that may have taken a part of the task. */
export class HelperLostError extends JanusError {}

/** Computes units `[begin, end)` of a task. */
export type TaskRunner = (kind: number, taskArguments: Int32Array, begin: number, end: number) => void;

/** Longest single wait of a leader before it looks again. */
const WAIT_SLICE_MS = 100;

/**
 * Where one thread, the leader, lays out a task for the idle threads of its host: one task at a time, cut into chunks that
 * whoever comes takes one by one.
 *
 * A helper may come late and read a task that is over. Chunks are handed out by a compare-and-exchange on one word that
 * holds the generation of the task too: who gets a chunk has read the arguments of the very task it is of, since the leader
 * lays out the next task only when all chunks of this one are done.
 */
export class TeamBoard {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #failure: Uint8Array;
  /** The task's arguments as this thread read them. */
  readonly #arguments = new Int32Array(TASK_ARGUMENTS);

  /** @param buffer of a board that another thread made; made anew when absent */
  constructor(buffer?: SharedArrayBuffer) {
    this.buffer = buffer ?? new SharedArrayBuffer(WORDS * 4);
    this.#words = new Int32Array(this.buffer);
    this.#failure = new Uint8Array(this.buffer, FAILURE_TEXT * 4, FAILURE_TEXT_BYTES);
  }

  /**
   * Leader: lays out a task of `units`, to be taken `chunkUnits` at a time.
   *
   * @throws RangeError when it has too many arguments
   */
  open(kind: number, taskArguments: readonly number[], units: number, chunkUnits: number): void {
    if (taskArguments.length > TASK_ARGUMENTS)
      throw new RangeError(`A task has at most ${TASK_ARGUMENTS} arguments.`);
    const words = this.#words;
    const least = Math.ceil(units / TASK_CHUNK_LIMIT);
    const size = Math.max(1, chunkUnits, least);
    const generation = (Atomics.load(words, NEXT) >>> CHUNK_BITS) + 1;
    // Nothing is to be had while the words are changed, whatever number of chunks a late helper reads.
    Atomics.store(words, NEXT, (generation << CHUNK_BITS) | CHUNK_MASK);
    words[KIND] = kind;
    words[UNITS] = units;
    words[CHUNK_UNITS] = size;
    words[CHUNKS] = Math.ceil(units / size);
    for (let i = 0; i < taskArguments.length; i++) words[ARGUMENTS + i] = taskArguments[i]!;
    Atomics.store(words, DONE, 0);
    Atomics.store(words, FAILED, 0);
    Atomics.store(words, NEXT, (generation + 1) << CHUNK_BITS);
  }

  /** Host: the leader's thread has ended; no chunk is handed out any more. Whoever has one still computes it. */
  abandon(): void {
    const words = this.#words;
    const generation = (Atomics.load(words, NEXT) >>> CHUNK_BITS) + 1;
    Atomics.store(words, NEXT, (generation << CHUNK_BITS) | CHUNK_MASK);
  }

  /** Any thread: takes chunks of the task and computes them until there are none; returns how many it took. */
  help(run: TaskRunner): number {
    let taken = 0;
    while (this.#takeChunk(run)) taken++;
    return taken;
  }

  #takeChunk(run: TaskRunner): boolean {
    const words = this.#words;
    for (;;) {
      const seen = Atomics.load(words, NEXT);
      const chunk = seen & CHUNK_MASK;
      const chunks = words[CHUNKS]!;
      if (chunk >= chunks) return false;
      const kind = words[KIND]!;
      const units = words[UNITS]!;
      const size = words[CHUNK_UNITS]!;
      for (let i = 0; i < TASK_ARGUMENTS; i++) this.#arguments[i] = words[ARGUMENTS + i]!;
      if (Atomics.compareExchange(words, NEXT, seen, seen + 1) !== seen) continue;
      try {
        run(kind, this.#arguments, chunk * size, Math.min(units, (chunk + 1) * size));
      } catch (error) {
        if (Atomics.exchange(words, FAILED, 1) === 0) writeFixedText(this.#failure, String(error));
      }
      if (Atomics.add(words, DONE, 1) + 1 === chunks) Atomics.notify(words, DONE);
      return true;
    }
  }

  /**
   * Leader: waits, after it has helped itself, for the chunks that others took.
   *
   * @param spinMs time to look for them before the thread is put to sleep
   * @param isHelperLost asked now and then while it waits
   * @throws JanusError when a chunk could not be computed
   * @throws HelperLostError when a helper has ended; the board is not to be used any more
   */
  finish(spinMs: number, isHelperLost: () => boolean = () => false): void {
    const words = this.#words;
    const chunks = words[CHUNKS]!;
    const untilMs = spinMs > 0 ? performance.now() + spinMs : 0;
    for (let done = Atomics.load(words, DONE); done < chunks; done = Atomics.load(words, DONE)) {
      if (untilMs !== 0 && performance.now() <= untilMs) continue;
      // What it took may never be done, and what others took may be done in the middle of the next task.
      if (Atomics.wait(words, DONE, done, WAIT_SLICE_MS) === 'timed-out' && isHelperLost())
        throw new HelperLostError(
          'An expert instance of this host ended while it computed a part of a layer.',
        );
    }
    if (Atomics.load(words, FAILED) !== 0)
      throw new JanusError(`A part of a layer could not be computed: ${readFixedText(this.#failure)}`);
  }
}
