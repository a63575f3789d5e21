import type { Redis } from 'ioredis';
import {
  batchDoneKey,
  batchKey,
  batchLeaseKey,
  batchPartsKey,
  batchSequenceKey,
  fileKey,
  filesKey,
  openBatchesKey,
} from '../../../shared/protocol/keys.ts';
import { ask } from '../../dispatcher/ask.ts';
import {
  type BatchError,
  type BatchRecord,
  type BatchStatus,
  type EndStatus,
  type ResultKind,
  readBatch,
} from '../batch.ts';
import { type FileRecord, fileFields } from '../files.ts';
import { ENDED_BATCH_TTL_S } from '../limits.ts';
import type { PartLength } from '../store/file-store.ts';
import { CLAIM, END, MOVE, RECORD, RELEASE, RENEW } from './claim-scripts.ts';
import { LineSet } from './line-set.ts';

/** A batch that one process holds. */
export interface Claim {
  readonly batchId: string;
  /** Unlike any other claim's; also names the parts that are written under it. */
  readonly token: string;
}

/** The batch is somebody else's, or was given up: what was not recorded does not count. */
export class LeaseLostError extends Error {
  override readonly name: string = 'LeaseLostError';

  constructor() {
    super('The batch is not held by this process any more');
  }
}

/** Bytes that count of both parts of a claim. */
export type PartBytes = Readonly<Record<ResultKind, number>>;

/** Results to record together. */
export interface RecordedResults {
  readonly before: PartBytes;
  readonly after: PartBytes;
  readonly lines: readonly { readonly line: number; readonly kind: ResultKind }[];
}

export interface BatchEnding {
  readonly from: BatchStatus;
  readonly to: EndStatus;
  readonly nowS: number;
  readonly errors: readonly BatchError[];
  /** null where there are no such results. */
  readonly files: Readonly<Record<ResultKind, FileRecord | null>>;
}

/** Batches as those who run them see them. Every function throws a {@link DispatchError} `broker` when Redis does not answer. */
export interface BatchClaims {
  /** Batches that have not ended and that nobody holds, oldest first. */
  readonly unheld: () => Promise<readonly BatchRecord[]>;
  /** @returns undefined when somebody else was faster */
  readonly take: (claim: Claim, leaseMs: number) => Promise<BatchRecord | undefined>;
  /** @returns the batch's status; undefined when the lease is lost */
  readonly renew: (claim: Claim, leaseMs: number) => Promise<BatchStatus | undefined>;
  readonly release: (claim: Claim) => Promise<void>;
  /**
   * @returns the status that the batch is in then
   * @throws {LeaseLostError}
   */
  readonly move: (
    claim: Claim,
    from: BatchStatus,
    to: BatchStatus,
    entry: { readonly nowS: number; readonly total?: number },
  ) => Promise<BatchStatus>;
  readonly doneLines: (batchId: string) => Promise<LineSet>;
  /** @throws {LeaseLostError} also when Redis has forgotten what was recorded before */
  readonly record: (claim: Claim, results: RecordedResults) => Promise<void>;
  /** Parts that results were recorded for, by kind. */
  readonly parts: (batchId: string) => Promise<Readonly<Record<ResultKind, readonly PartLength[]>>>;
  /** As `move`. */
  readonly end: (claim: Claim, batch: BatchRecord, ending: BatchEnding) => Promise<BatchStatus>;
}

function held(reply: unknown): BatchStatus {
  if (reply === 'lost') throw new LeaseLostError();
  return reply as BatchStatus;
}

const NO_FILE = fileFields({ owner: '', bytes: 0, createdAtS: 0, filename: '', purpose: 'batch_output' });

/** A file as the arguments of `END` have it. */
const fileArguments = (file: FileRecord | null): string[] =>
  file === null ? ['', ...NO_FILE] : [file.id, ...fileFields(file)];

async function readUnheld(redis: Redis): Promise<readonly BatchRecord[]> {
  const ids = await ask(redis.zrange(openBatchesKey, 0, '-1'));
  if (ids.length === 0) return [];
  const tokens = await ask(redis.mget(ids.map(batchLeaseKey)));
  const unheld = ids.filter((_, index) => tokens[index] === null);
  const batches = unheld.map(async (id) => readBatch(id, await ask(redis.hgetall(batchKey(id)))));
  return (await Promise.all(batches)).filter((batch) => batch !== undefined);
}

async function endBatch(redis: Redis, claim: Claim, batch: BatchRecord, ending: BatchEnding) {
  const { from, to, nowS, errors, files } = ending;
  const { id, owner, inputFileId } = batch;
  const keys = [
    batchLeaseKey(id),
    batchKey(id),
    openBatchesKey,
    fileKey(inputFileId),
    batchDoneKey(id),
    batchPartsKey(id),
    filesKey(owner),
    batchSequenceKey,
    fileKey(files.output?.id ?? ''),
    fileKey(files.error?.id ?? ''),
  ];
  const transition = [claim.token, id, from, to, nowS, ENDED_BATCH_TTL_S, JSON.stringify(errors)];
  const results = [NO_FILE.length, ...fileArguments(files.output), ...fileArguments(files.error)];
  return held(await ask(redis.eval(END, keys.length, ...keys, ...transition, ...results)));
}

export function createBatchClaims(redis: Redis): BatchClaims {
  return {
    unheld: () => readUnheld(redis),
    async take({ batchId, token }, leaseMs) {
      const reply = redis.eval(CLAIM, 2, batchLeaseKey(batchId), openBatchesKey, token, leaseMs, batchId);
      if ((await ask(reply)) !== 1) return undefined;
      return readBatch(batchId, await ask(redis.hgetall(batchKey(batchId))));
    },
    async renew({ batchId, token }, leaseMs) {
      const reply = redis.eval(RENEW, 2, batchLeaseKey(batchId), batchKey(batchId), token, leaseMs);
      return ((await ask(reply)) as BatchStatus | null) ?? undefined;
    },
    async release({ batchId, token }) {
      await ask(redis.eval(RELEASE, 1, batchLeaseKey(batchId), token));
    },
    async move({ batchId, token }, from, to, { nowS, total }) {
      const fields = total === undefined ? [] : ['total', total];
      const keys = [batchLeaseKey(batchId), batchKey(batchId)];
      return held(await ask(redis.eval(MOVE, 2, ...keys, token, from, to, nowS, ...fields)));
    },
    async doneLines(batchId) {
      return new LineSet((await ask(redis.getBuffer(batchDoneKey(batchId)))) ?? new Uint8Array(0));
    },
    async record({ batchId, token }, { before, after, lines }) {
      const keys = [batchLeaseKey(batchId), batchKey(batchId), batchDoneKey(batchId), batchPartsKey(batchId)];
      const bytes = [before.output, after.output, before.error, after.error];
      const completed = lines.filter(({ kind }) => kind === 'output').length;
      const counts = [completed, lines.length - completed];
      const numbers = lines.map(({ line }) => line);
      held(await ask(redis.eval(RECORD, 4, ...keys, token, ...bytes, ...counts, ...numbers)));
    },
    async parts(batchId) {
      const recorded = Object.entries(await ask(redis.hgetall(batchPartsKey(batchId))));
      const ofKind = (kind: ResultKind): PartLength[] =>
        recorded
          .filter(([field, bytes]) => field.endsWith(`:${kind}`) && bytes !== '0')
          .map(([field, bytes]) => ({ part: field.slice(0, -kind.length - 1), bytes: Number(bytes) }));
      return { output: ofKind('output'), error: ofKind('error') };
    },
    end: (claim, batch, ending) => endBatch(redis, claim, batch, ending),
  };
}
