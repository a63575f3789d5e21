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
  /** jobs, life of the lock in ms, owner and id of each. Returns how many locks were still held. */
  'QUEUE.RENEW'(context, [jobs, lockMs, ...pairs]) {
    const stored = readJobs(context, jobs!);
    const untilMs = context.nowMs + Number(lockMs);
    let renewed = 0;
    for (let i = 0; i < pairs.length; i += 2) {
      const [owner, id] = [pairs[i]!, pairs[i + 1]!];
      const job = stored.get(id);
      if (!holds(job, owner)) continue;
      writeJob(context, jobs!, id, { ...job, lock: { owner, untilMs } });
      renewed += 1;
    }
    return renewed;
  },
  /** jobs, owner, id. Returns 0 where the owner has lost the lock; the job stays then. */
  'QUEUE.END'(context, [jobs, owner, id]) {
    if (!holds(readJobs(context, jobs!).get(id!), owner!)) return 0;
    writeJob(context, jobs!, id!, null);
    return 1;
  },
};
