import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from '../../../shared/protocol/crc32.ts';
import type { ModelCard } from '../../../shared/protocol/member.ts';
import type { SequenceJob } from '../../../shared/protocol/request.ts';
import type { TokenEvent } from '../../../shared/protocol/token-event.ts';
import type { Dispatcher } from '../../dispatcher/dispatcher.ts';
import { BATCH_PRIORITY } from '../../dispatcher/queue.ts';
import type { Registry, ServedModel } from '../../dispatcher/registry.ts';
import { estimateTokens } from '../../gateway/access/estimate-tokens.ts';
import { modelNotFound, poolFailure, toRequestError } from '../../gateway/errors.ts';
import { sequenceJobs } from '../../gateway/generation/jobs.ts';
import { type AnswerEvent, createJournalReader, type Usage } from '../../gateway/generation/journal.ts';
import { createFormat } from '../../gateway/responses/create-format.ts';
import { checkTokenIds } from '../../gateway/schema/token-ids.ts';
import type { BatchRecord } from '../batch.ts';
import { ENDPOINT_KINDS } from '../input/endpoints.ts';
import type { BatchLine } from '../input/parse-line.ts';
import { type BatchLimits, COMPLETION_WINDOW_S } from '../limits.ts';
import type { Claim } from './claims.ts';
import type { LineBudget } from './line-budget.ts';
import type { LinePlaces } from './line-places.ts';
import { type LineTracing, traceLine } from './line-trace.ts';
import { BROKER_RETRY_MS, isBrokerFault } from './persist.ts';
import { answered, refused } from './result-lines.ts';
import type { LineResult } from './result-log.ts';

const OK = 200;
/** What may be right the next time: the pool was full, broke down, or was too slow. */
const RETRYABLE_STATUSES: ReadonlySet<number> = new Set([429, 500, 503, 504]);
/** How often a model that is not ready is looked at again, in milliseconds. */
const MODEL_POLL_MS = 2_000;
const MS_PER_S = 1_000;

export interface LineDependencies extends LineTracing {
  readonly places: LinePlaces;
  readonly dispatcher: Dispatcher;
  readonly registry: Registry;
  readonly limits: Pick<BatchLimits, 'retryDelaysMs' | 'askAgainMs'>;
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
  readonly budget: LineBudget;
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

/** Waits for a model that is loading or restarting, unless it takes a line in the queue to wake it. @throws {RequestError} 404 where there is none of that name */
async function readyModel(registry: Registry, name: string, signal: AbortSignal): Promise<ServedModel> {
  for (;;) {
    const model = await registry.find(name);
    if (model === undefined) throw modelNotFound(name);
    if (model.state === 'ready' || model.isScaled) return model;
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

/** What the pools tell of jobs. A Redis that crashed may have forgotten them: where nothing is told for long they are queued anew. */
async function* eventsOf(
  { dispatcher, clock, limits, silenceMs }: LineDependencies,
  jobs: readonly SequenceJob[],
  signal: AbortSignal,
): AsyncGenerator<readonly TokenEvent[], void, undefined> {
  // The line may wait in the queue for as long as interactive traffic goes before it.
  const windowMs = COMPLETION_WINDOW_S * MS_PER_S;
  const timeouts = { queueWaitMs: windowMs, overallMs: windowMs, silenceMs };
  let isHeard = false;
  let askedAtMs = clock.nowMs();
  for await (const events of dispatcher.readEvents(jobs[0]!.requestId, { signal, timeouts })) {
    yield events;
    isHeard ||= events.length > 0;
    if (isHeard || clock.nowMs() - askedAtMs < limits.askAgainMs) continue;
    askedAtMs = clock.nowMs();
    await dispatcher.dispatch(jobs, BATCH_PRIORITY);
  }
}

interface Answer {
  readonly body: object;
  readonly usage: Usage;
}

/** One attempt. */
async function attempt(dependencies: LineDependencies, run: LineRun, requestId: string): Promise<Answer> {
  const { registry, places } = dependencies;
  const { signal, line } = run;
  const { card, slots } = await readyModel(registry, line.model, signal);
  checkTokenIds(line.request, card);
  const leave = await places.take(line.model, slots, signal);
  try {
    return await traceLine(dependencies, { ...run, requestId }, (trace) =>
      answer(dependencies, run, { requestId, ...(trace && { trace }) }, card),
    );
  } finally {
    leave();
  }
}

async function answer(
  dependencies: LineDependencies,
  run: LineRun,
  names: Pick<SequenceJob, 'requestId' | 'trace'>,
  card: ModelCard,
): Promise<Answer> {
  const { dispatcher, clock, report } = dependencies;
  const { batch, signal, budget } = run;
  const { request, model } = run.line;
  const { requestId } = names;

  const acceptedAtMs = clock.nowMs();
  const identity = { ...names, model, acceptedAtMs, isDeferrable: true, drawSeed: seedsOf(run) };
  const jobs = sequenceJobs(request, identity);
  const journal = createJournalReader(jobs.length, request.choicesPerPrompt);
  const format = createFormat(ENDPOINT_KINDS[batch.endpoint].answers, {
    requestId,
    created: Math.floor(acceptedAtMs / MS_PER_S),
    model,
    choices: jobs.length,
    includeUsage: false,
    echo: request.echo ?? {},
    callable: request.callable,
    logprobs: request.sampling.topLogprobs !== null,
  });

  signal.throwIfAborted();
  // What was answered before was charged by whoever asked for it.
  const isAsked = await isAnswered(dependencies, run, requestId);
  const settle = isAsked ? null : await budget.take(estimateTokens(request, card), signal);
  try {
    if (!isAsked) await dispatcher.dispatch(jobs, BATCH_PRIORITY);
    const told: AnswerEvent[] = [];
    for await (const events of eventsOf(dependencies, jobs, signal)) {
      const progress = journal.read(events);
      told.push(...progress.events);
      if (progress.failure !== null) throw poolFailure(progress.failure);
      if (journal.done()) break;
    }
    return { body: format.whole(told, journal.usage()), usage: journal.usage() };
  } finally {
    // Of what is broken off the pools may use all that it was estimated to.
    if (settle !== null && !signal.aborted) {
      await settle(journal.usage().total_tokens).catch((error: unknown) => report(error, requestId));
    }
  }
}

/** A line's result, and the request that brought it. */
export interface AnsweredLine {
  readonly result: LineResult;
  readonly requestId: string;
  /** HTTP status that the endpoint would have answered with. */
  readonly status: number;
  /** Null where it was refused. */
  readonly usage: Usage | null;
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
      const { body, usage } = await attempt(dependencies, run, requestId);
      return { result: answered(batch.id, line, requestId, body), requestId, status: OK, usage };
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
        const { status } = refusal.failure;
        return { result: refused(batch.id, line, requestId, refusal), requestId, status, usage: null };
      }
      await sleep(delayMs, undefined, { signal });
      await cancel();
    }
  }
}
