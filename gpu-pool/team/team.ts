import { HelperLostError, TASK_ARGUMENTS, type TaskRunner, TeamBoard } from './team-board.ts';

/** Chunks per thread that a task is cut into: enough that nobody waits long for the slowest, few enough to cost little. */
const CHUNKS_PER_THREAD = 4;

export interface TeamOptions {
  readonly board: TeamBoard;
  /** Computes parts of tasks on this thread. */
  readonly run: TaskRunner;
  /** Idle threads that may help; 0: the leader computes everything alone. */
  readonly helpers: number;
  /** Wakes them. */
  readonly wake: () => void;
  /** Time to look for the last chunks of the helpers before sleeping; 0 where there are more threads than processors. */
  readonly spinMs: number;
  /** True where one of the helpers has ended. */
  readonly isHelperLost?: () => boolean;
}

/** One thread that has work, and the idle threads of its host that help it. */
export class Team {
  readonly #options: TeamOptions;
  readonly #alone = new Int32Array(TASK_ARGUMENTS);
  #helpers: number;

  constructor(options: TeamOptions) {
    this.#options = options;
    this.#helpers = options.helpers;
  }

  /** Threads that compute a task. */
  get threads(): number {
    return this.#helpers + 1;
  }

  /** A team of the calling thread alone. */
  static alone(run: TaskRunner): Team {
    return new Team({ board: new TeamBoard(), run, helpers: 0, wake: () => {}, spinMs: 0 });
  }

  /**
   * Computes a task of `units`; returns when all of it is done.
   *
   * @param fewest units that are worth handing out: with fewer, waking others costs more than they do
   * @param leastChunk units that are cheaper together, handed out together
   * @throws JanusError when a part of it could not be computed; where that is because a helper ended, this thread computes alone
   *   from then on
   */
  run(kind: number, taskArguments: readonly number[], units: number, fewest: number, leastChunk = 1): void {
    const { board, run, wake, spinMs, isHelperLost } = this.#options;
    const helpers = this.#helpers;
    if (helpers === 0 || units < fewest) {
      for (let i = 0; i < taskArguments.length; i++) this.#alone[i] = taskArguments[i]!;
      run(kind, this.#alone, 0, units);
      return;
    }
    const chunkUnits = Math.max(leastChunk, Math.ceil(units / ((helpers + 1) * CHUNKS_PER_THREAD)));
    board.open(kind, taskArguments, units, chunkUnits);
    wake();
    board.help(run);
    try {
      board.finish(spinMs, isHelperLost);
    } catch (error) {
      if (error instanceof HelperLostError) this.#helpers = 0;
      throw error;
    }
  }
}
