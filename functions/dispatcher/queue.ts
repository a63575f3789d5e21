import { type JobsOptions, Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { QUEUE_PREFIX, requestQueueName } from '../../shared/protocol/keys.ts';
import type { SequenceJob } from '../../shared/protocol/request.ts';
import { ask } from './ask.ts';

/** BullMQ takes jobs without a priority before all that have one, in order of arrival; lines of batches have one. */
export const INTERACTIVE_PRIORITY = 0;
export const BATCH_PRIORITY = 1;
export type RequestPriority = typeof INTERACTIVE_PRIORITY | typeof BATCH_PRIORITY;
/** A sequence whose host fails is tried this often in all. */
export const SEQUENCE_ATTEMPTS = 3;
/** Ended jobs are kept for a look at them, whichever bound is reached first. */
const KEEP_ENDED_AGE_S = 600;
const KEEP_ENDED_COUNT = 1_000;

/** A line that is taken over is queued again under the same id: an ended job of that id would keep it out for ever. */
function options(job: SequenceJob, priority: RequestPriority): JobsOptions {
  const keep =
    priority === INTERACTIVE_PRIORITY ? { age: KEEP_ENDED_AGE_S, count: KEEP_ENDED_COUNT } : { count: 0 };
  return {
    jobId: `${job.requestId}-${job.choice}`,
    priority,
    attempts: SEQUENCE_ATTEMPTS,
    removeOnComplete: keep,
    removeOnFail: keep,
  };
}

export interface RequestQueues {
  /** Queues all jobs of one request at once, or none; those that are queued or under way already stay as they are. */
  readonly add: (jobs: readonly SequenceJob[], priority: RequestPriority) => Promise<void>;
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
    async add(jobs, priority) {
      const first = jobs[0];
      if (first === undefined) return;
      const bulk = jobs.map((job) => ({ name: 'sequence', data: job, opts: options(job, priority) }));
      await ask(queueOf(first.model).addBulk(bulk));
    },
    async close() {
      await Promise.all([...queues.values()].map((queue) => queue.close()));
      queues.clear();
    },
  };
}
