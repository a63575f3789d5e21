import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from '../../../shared/protocol/crc32.ts';
import type { ModelCard } from '../../../shared/protocol/member.ts';
import type { Clock } from '../../clock.ts';
import type { Dispatcher } from '../../dispatcher/dispatcher.ts';
import { BATCH_PRIORITY } from '../../dispatcher/queue.ts';
import type { Registry } from '../../dispatcher/registry.ts';
import { modelNotFound, poolFailure, toRequestError } from '../../gateway/errors.ts';
import { sequenceJobs } from '../../gateway/generation/jobs.ts';
import { type AnswerEvent, createJournalReader } from '../../gateway/generation/journal.ts';
import { checkTokenIds } from '../../gateway/schema/token-ids.ts';
import type { BatchRecord } from '../batch.ts';
import { ENDPOINT_KINDS } from '../input/endpoints.ts';
import type { BatchLine } from '../input/parse-line.ts';
import { type BatchLimits, COMPLETION_WINDOW_S } from '../limits.ts';
import type { Claim } from './claims.ts';
import { BROKER_RETRY_MS, isBrokerFault } from './persist.ts';
import { answered, refused } from './result-lines.ts';
import type { LineResult } from './result-log.ts';

/** What may be right the next time: the pool was full, broke down, or was too slow. */
const RETRYABLE_STATUSES: ReadonlySet<number> = new Set([429, 500, 503, 504]);
/** How often a model that is not ready is looked at again, in milliseconds. */
const MODEL_POLL_MS = 2_000;
const MS_PER_S = 1_000;

export interface LineDependencies {
  readonly dispatcher: Dispatcher;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly limits: Pick<BatchLimits, 'retryDelaysMs'>;
  /** Longest silence of a pool that has begun an answer, in milliseconds. */
  readonly silenceMs: number;
  readonly report: (error: unknown, requestId: string) => void;
}

/** A line under way. */
export interface LineRun {
  /** As it was when this process took it. */
  readonly batch: BatchRecord;
  readonly line: BatchLine;
  readonly claim: Claim;
  /** Ends the run; it then throws. */
  readonly signal: AbortSignal;
  /** Whether nobody wants the answer any more once the signal has aborted; else another claim goes on with it. */
  readonly isUnwanted: () => boolean;
}

/**
 * Request id of one attempt at a line. The first is the same whoever makes it, so that who takes a batch over finds the jobs
 * and answers of those before; the others are cancelled when they fail, and a cancelled id is spent.
 */
const requestIdOf = ({ batch, line, claim }: LineRun, attempt: number): string =>
  attempt === 0 ? `${batch.id}-${line.number}` : `${batch.id}-${line.number}-${claim.token}-${attempt}`;

/** Seeds for the choices of a line whose sender gave none. They must not change when the line is taken over. */
function seedsOf({ batch, line }: LineRun): () => number {
  let choice = 0;
  return () => {
    const bytes = new TextEncoder().encode(`${batch.id}-${line.number}-${choice}`);
    choice += 1;
    return crc32(bytes, bytes.length);
  };
}

/** Waits for a model that is loading or restarting. @throws {RequestError} 404 where there is none of that name */
async function readyCard(registry: Registry, name: string, signal: AbortSignal): Promise<ModelCard> {
  for (;;) {
    const model = await registry.find(name);
    if (model === undefined) throw modelNotFound(name);
    if (model.state === 'ready') return model.card;
    await sleep(MODEL_POLL_MS, undefined, { signal });
  }
}

/** Whether the pools had told all, or failed, before this process took the batch over. */
async function isAnswered(
  { dispatcher }: LineDependencies,
  { batch, line: { request } }: LineRun,
  requestId: string,
): Promise<boolean> {
  if (batch.status !== 'in_progress') return false;
  const { prompts, choicesPerPrompt } = request;
  const journal = createJournalReader(prompts.length * choicesPerPrompt, choicesPerPrompt);
  const { failure } = journal.read(await dispatcher.told(requestId));
  return failure !== null || journal.done();
}

/** One attempt. @returns the answer's body */
async function attempt(dependencies: LineDependencies, run: LineRun, requestId: string): Promise<object> {
  const { dispatcher, registry, clock, silenceMs } = dependencies;
  const { batch, signal } = run;
  const { request, model } = run.line;
  checkTokenIds(request, await readyCard(registry, model, signal));

  const acceptedAtMs = clock.nowMs();
  const jobs = sequenceJobs(request, { requestId, model, acceptedAtMs, drawSeed: seedsOf(run) });
  const journal = createJournalReader(jobs.length, request.choicesPerPrompt);
  const format = ENDPOINT_KINDS[batch.endpoint].createFormat({
    requestId,
    created: Math.floor(acceptedAtMs / MS_PER_S),
    model,
    choices: jobs.length,
    includeUsage: false,
    echo: request.echo ?? {},
    logprobs: request.sampling.topLogprobs !== null,
  });
  // The line may wait in the queue for as long as interactive traffic goes before it.
  const windowMs = COMPLETION_WINDOW_S * MS_PER_S;
  const timeouts = { queueWaitMs: windowMs, overallMs: windowMs, silenceMs };

  signal.throwIfAborted();
  if (!(await isAnswered(dependencies, run, requestId))) await dispatcher.dispatch(jobs, BATCH_PRIORITY);
  const told: AnswerEvent[] = [];
  for await (const events of dispatcher.readEvents(requestId, { signal, timeouts })) {
    const progress = journal.read(events);
    told.push(...progress.events);
    if (progress.failure !== null) throw poolFailure(progress.failure);
    if (journal.done()) break;
  }
  return format.whole(told, journal.usage());
}

/** A line's result, and the request that brought it. */
export interface AnsweredLine {
  readonly result: LineResult;
  readonly requestId: string;
}

/**
 * Answers one line, however long it takes: what may pass is tried again, a few times where the pools are to blame, and for as
 * long as it lasts where Redis or a model is away.
 *
 * @throws when the signal aborts
 */
export async function answerLine(dependencies: LineDependencies, run: LineRun): Promise<AnsweredLine> {
  const { dispatcher, limits, report } = dependencies;
  const { batch, line, signal } = run;
  let failures = 0;
  for (let count = 0; ; count++) {
    const requestId = requestIdOf(run, count);
    const cancel = () =>
      dispatcher.cancel(requestId, line.model).catch((error: unknown) => report(error, requestId));
    try {
      const body = await attempt(dependencies, run, requestId);
      return { result: answered(batch.id, line, requestId, body), requestId };
    } catch (error) {
      if (signal.aborted) {
        if (run.isUnwanted()) await cancel();
        throw error;
      }
      const isAway = isBrokerFault(error);
      // The connection to Redis reports its failures itself.
      const refusal = toRequestError(error, isAway ? () => {} : (defect) => report(defect, requestId));
      const delayMs = isAway ? BROKER_RETRY_MS : limits.retryDelaysMs[failures];
      if (!isAway) failures += 1;
      if (delayMs === undefined || !RETRYABLE_STATUSES.has(refusal.failure.status)) {
        // Of several choices one failed; the others go on.
        await cancel();
        return { result: refused(batch.id, line, requestId, refusal), requestId };
      }
      await sleep(delayMs, undefined, { signal });
      await cancel();
    }
  }
}
