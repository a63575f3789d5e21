import { type JobsOptions, Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { BATCH_PRIORITY, levelPriority, UNPLACED_TAG } from '../../shared/admission/fair-priority.ts';
import { QUEUE_PREFIX, requestQueueName } from '../../shared/protocol/keys.ts';
import type { SequenceJob } from '../../shared/protocol/request.ts';
import { ask } from './ask.ts';
import { placeFairly } from './fair-queue.ts';

export { BATCH_PRIORITY };

/** Where an interactive request stands in the queue. */
export interface InteractivePlace {
  /** Whose it is: no owner's requests make another's wait for all of them. Null: nobody's; those go in order of arrival. */
  readonly owner: string | null;
  /** From `FIRST_LEVEL` to `LAST_LEVEL`; a lower one goes before. */
  readonly level: number;
}

/** Lines of batches stand behind all interactive requests. */
export type QueuePlace = InteractivePlace | typeof BATCH_PRIORITY;

export const DEFAULT_PLACE: InteractivePlace = { owner: null, level: 0 };

/** A sequence whose host fails is tried this often in all. */
export const SEQUENCE_ATTEMPTS = 3;
/** Ended jobs are kept for a look at them, whichever bound is reached first. */
const KEEP_ENDED_AGE_S = 600;
const KEEP_ENDED_COUNT = 1_000;

const jobId = ({ requestId, choice }: SequenceJob): string => `${requestId}-${choice}`;

/** Priority with which jobs come to the queue: an owner's wait behind all of their level until they have their place. */
function priorityOf(place: QueuePlace): number {
  if (place === BATCH_PRIORITY) return BATCH_PRIORITY;
  return levelPriority(place.level) + (place.owner === null ? 0 : UNPLACED_TAG);
}

/** A line that is taken over is queued again under the same id: an ended job of that id would keep it out for ever. */
function options(job: SequenceJob, priority: number): JobsOptions {
  const keep =
    priority === BATCH_PRIORITY ? { count: 0 } : { age: KEEP_ENDED_AGE_S, count: KEEP_ENDED_COUNT };
  return {
    jobId: jobId(job),
    priority,
    attempts: SEQUENCE_ATTEMPTS,
    removeOnComplete: keep,
    removeOnFail: keep,
  };
}

export interface RequestQueues {
  /** Queues all jobs of one request at once, or none; those that are queued or under way already stay as they are. */
  readonly add: (jobs: readonly SequenceJob[], place: QueuePlace) => Promise<void>;
  readonly close: () => Promise<void>;
}

/** One BullMQ queue per model, on one shared connection; there are as many as models that were ready at some time. */
export function createRequestQueues(redis: Redis): RequestQueues {
  const queues = new Map<string, Queue<SequenceJob>>();

  const queueOf = (model: string): Queue<SequenceJob> => {
    const known = queues.get(model);
    if (known !== undefined) return known;
    const queue = new Queue<SequenceJob>(requestQueueName(model), {
      connection: redis,
      prefix: QUEUE_PREFIX,
      skipVersionCheck: true,
    });
    // Failures reach the caller through `add`.
    queue.on('error', () => {});
    queues.set(model, queue);
    return queue;
  };

  return {
    async add(jobs, place) {
      const first = jobs[0];
      if (first === undefined) return;
      const { model } = first;
      const priority = priorityOf(place);
      const bulk = jobs.map((job) => ({ name: 'sequence', data: job, opts: options(job, priority) }));
      await ask(queueOf(model).addBulk(bulk));
      if (place === BATCH_PRIORITY || place.owner === null) return;
      const { owner, level } = place;
      await placeFairly(redis, { model, level, owner, ids: jobs.map(jobId) });
    },
    async close() {
      await Promise.all([...queues.values()].map((queue) => queue.close()));
      queues.clear();
    },
  };
}
