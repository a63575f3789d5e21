import type { Command, Context } from './commands.ts';

/**
 * A queue with the promises of BullMQ, as commands of the server: a job is taken by one host at a time, under a lock that the host
 * renews; one whose lock ran out is taken again, by another host, at most `MOST_STALLS` times. As with BullMQ, a host is not told
 * that it lost its lock.
 */

/** As in gpu-pool/host/request-consumer.ts. */
const MOST_STALLS = 3;

/** A job that was taken, or waits. */
interface StoredJob {
  readonly data: string;
  readonly attempts: number;
  readonly stalls: number;
  /** Null while it waits. */
  readonly lock: { readonly owner: string; readonly untilMs: number } | null;
}

type Jobs = ReadonlyMap<string, StoredJob>;

const readJobs = ({ store, nowMs }: Context, key: string): Jobs =>
  new Map([...(store.read('hash', key, nowMs) ?? [])].map(([id, text]) => [id, JSON.parse(text)]));

function writeJob({ store, nowMs }: Context, key: string, id: string, job: StoredJob | null): void {
  const hash = store.write('hash', key, nowMs);
  if (job === null) hash.delete(id);
  else hash.set(id, JSON.stringify(job));
}

/** Whether `owner` holds the job's lock. */
const holds = (job: StoredJob | undefined, owner: string): job is StoredJob => job?.lock?.owner === owner;

/** KEYS: hash of the jobs, list of those that wait. */
export const queueCommands: Readonly<Record<string, Command>> = {
  /** jobs, waiting, id, data. Returns 0 where the job was added before. */
  'QUEUE.ADD'(context, [jobs, waiting, id, data]) {
    if (readJobs(context, jobs!).has(id!)) return 0;
    writeJob(context, jobs!, id!, { data: data!, attempts: 0, stalls: 0, lock: null });
    context.store.write('list', waiting!, context.nowMs).unshift(id!);
    return 1;
  },
  /** jobs, waiting, owner, life of the lock in ms. Returns id, data and number of the attempt, or nothing. */
  'QUEUE.TAKE'(context, [jobs, waiting, owner, lockMs]) {
    const { store, nowMs } = context;
    for (const [id, job] of readJobs(context, jobs!)) {
      if (job.lock === null || job.lock.untilMs > nowMs) continue;
      const isGivenUp = job.stalls >= MOST_STALLS;
      writeJob(context, jobs!, id, isGivenUp ? null : { ...job, stalls: job.stalls + 1, lock: null });
      if (!isGivenUp) store.write('list', waiting!, nowMs).unshift(id);
    }
    const id = store.write('list', waiting!, nowMs).pop();
    const job = id === undefined ? undefined : readJobs(context, jobs!).get(id);
    if (id === undefined || job === undefined) return null;
    const attempts = job.attempts + 1;
    const lock = { owner: owner!, untilMs: nowMs + Number(lockMs) };
    writeJob(context, jobs!, id, { ...job, attempts, lock });
    return [id, job.data, attempts];
  },
  /** jobs, owner, life of the lock in ms, ids. Returns how many locks the owner still held. */
  'QUEUE.RENEW'(context, [jobs, owner, lockMs, ...ids]) {
    const stored = readJobs(context, jobs!);
    const held = ids.filter((id) => holds(stored.get(id), owner!));
    const lock = { owner: owner!, untilMs: context.nowMs + Number(lockMs) };
    for (const id of held) writeJob(context, jobs!, id, { ...stored.get(id)!, lock });
    return held.length;
  },
  /** jobs, owner, id. Returns 0 where the owner has lost the lock; the job stays then. */
  'QUEUE.END'(context, [jobs, owner, id]) {
    if (!holds(readJobs(context, jobs!).get(id!), owner!)) return 0;
    writeJob(context, jobs!, id!, null);
    return 1;
  },
};
