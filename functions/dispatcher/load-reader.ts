import type { Redis } from 'ioredis';
import { type PoolPace, poolPace } from '../../shared/admission/predict-first-token.ts';
import type { Clock } from '../clock.ts';
import { ask } from './ask.ts';
import { readWaitingJobs } from './fair-queue.ts';
import { readHosts } from './registry.ts';

/** How old a load may be. So long at most one request waits for Redis, whatever their number. */
const LOAD_LIFE_MS = 250;
/** Loads that are kept, of models and levels. */
const MOST_LOADS = 1_024;

/** How busy a model is, for requests of one level. */
export interface ModelLoad {
  /** Null until its hosts have computed something. */
  readonly pace: PoolPace | null;
  /** Sequences that hosts hold. */
  readonly heldSequences: number;
  /** Sequences that wait in earlier levels. */
  readonly earlierSequences: number;
  /** Sequences that wait in the level, by owner; '' where there is none. */
  readonly backlogs: ReadonlyMap<string, number>;
  /** Counts sequences that are about to be queued, until the next look at the queue finds them there. */
  readonly join: (owner: string, sequences: number) => void;
}

async function readLoad(redis: Redis, model: string, level: number): Promise<ModelLoad> {
  const [hosts, waiting] = await Promise.all([
    ask(readHosts(redis, model)),
    readWaitingJobs(redis, model, level),
  ]);
  const { backlogs } = waiting;
  return {
    pace: poolPace(hosts),
    heldSequences: waiting.held,
    earlierSequences: waiting.earlier,
    backlogs,
    join: (owner, sequences) => backlogs.set(owner, (backlogs.get(owner) ?? 0) + sequences),
  };
}

/** @returns reader of a model's load, which asks Redis at most once per moment, model and level */
export function createLoadReader(
  redis: Redis,
  clock: Clock,
): (model: string, level: number) => Promise<ModelLoad> {
  const held = new Map<string, { readonly untilMs: number; readonly load: Promise<ModelLoad> }>();

  return (model, level) => {
    const name = `${level} ${model}`;
    const nowMs = clock.nowMs();
    const known = held.get(name);
    if (known !== undefined && nowMs < known.untilMs) return known.load;
    const entry = { untilMs: nowMs + LOAD_LIFE_MS, load: readLoad(redis, model, level) };
    // Taken out first, so that it becomes the youngest: the oldest is dropped.
    held.delete(name);
    held.set(name, entry);
    const [oldest] = held.keys();
    if (held.size > MOST_LOADS && oldest !== undefined) held.delete(oldest);
    entry.load.catch(() => {
      if (held.get(name) === entry) held.delete(name);
    });
    return entry.load;
  };
}
