import { QueueKeys } from 'bullmq';
import type { Redis } from 'ioredis';
import { DispatchError } from '../../../functions/dispatcher/errors.ts';
import { QUEUE_PREFIX, requestQueueName } from '../../../shared/protocol/keys.ts';
import type { SequenceJob } from '../../../shared/protocol/request.ts';
import type { SimulatedClient } from '../redis/client.ts';
import { MODEL } from '../simulated-model.ts';

/** Life of a job's lock without renewal, as in gpu-pool/host/request-consumer.ts. */
export const JOB_LOCK_MS = 3_000;

const keys = new QueueKeys(QUEUE_PREFIX);
const waiting = keys.toKey(requestQueueName(MODEL), 'wait');
const jobs = keys.toKey(requestQueueName(MODEL), 'jobs');

/** A job that a host holds. */
export interface TakenJob {
  readonly id: string;
  /** Names this attempt at the job. */
  readonly owner: string;
  readonly job: SequenceJob;
  /** 1 for the first one. */
  readonly attempt: number;
}

/** @throws {DispatchError} `broker` */
export async function addJob(client: Pick<Redis, 'call'>, id: string, data: string): Promise<void> {
  await client.call('QUEUE.ADD', jobs, waiting, id, data).catch((cause: unknown) => {
    throw new DispatchError('broker', 'Redis refused a command', { cause });
  });
}

export async function takeJob(client: SimulatedClient, owner: string): Promise<TakenJob | null> {
  const taken = await client.call('QUEUE.TAKE', jobs, waiting, owner, JOB_LOCK_MS);
  if (taken === null) return null;
  const [id, data, attempt] = taken as [string, string, number];
  return { id, owner, job: JSON.parse(data) as SequenceJob, attempt };
}

export const renewJobs = (client: SimulatedClient, held: readonly TakenJob[]) =>
  client.call('QUEUE.RENEW', jobs, JOB_LOCK_MS, ...held.flatMap(({ owner, id }) => [owner, id]));

export const endJob = (client: SimulatedClient, { owner, id }: TakenJob) =>
  client.call('QUEUE.END', jobs, owner, id);
