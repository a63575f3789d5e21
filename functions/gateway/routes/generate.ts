import type { Context } from 'hono';
import { requestDoorbellChannel } from '../../../shared/protocol/keys.ts';
import type { ModelCard } from '../../../shared/protocol/member.ts';
import type { SequenceJob } from '../../../shared/protocol/request.ts';
import type { InteractivePlace } from '../../dispatcher/queue.ts';
import { chargeRequest } from '../access/charge.ts';
import { estimatePromptTokens, estimateTokens } from '../access/estimate-tokens.ts';
import { readJson } from '../body.ts';
import type { GatewayDependencies, GatewayEnvironment } from '../dependencies.ts';
import { invalid, shown } from '../errors.ts';
import { expectFirstToken } from '../first-token.ts';
import { sequenceJobs } from '../generation/jobs.ts';
import type { AnswerEvent } from '../generation/journal.ts';
import { runRequest } from '../generation/run.ts';
import { explainUntaken } from '../not-ready.ts';
import { queuePlace } from '../queue-place.ts';
import { REQUEST_TIMEOUT_HEADER, requestTimeoutMs } from '../request-timeout.ts';
import type { AnswerKind } from '../responses/create-format.ts';
import type { AnswerHead } from '../responses/format.ts';
import { LAST_EVENT_ID, parseMessageId } from '../resumption/message-id.ts';
import { type ResumableAnswer, toolsFor } from '../resumption/resumable-answer.ts';
import type { Resumptions } from '../resumption/resumptions.ts';
import { checkPromptSize } from '../schema/prompt-size.ts';
import type { GenerationRequest } from '../schema/request.ts';
import { checkTokenIds } from '../schema/token-ids.ts';
import { traceGeneration } from '../tracing/traced-generation.ts';
import { readyModel } from './models.ts';
import { streamed } from './streamed.ts';
import { asksForResumption, resumeAfter } from './streams.ts';

/** What chat and text completions differ in. */
export interface CompletionKind {
  readonly parse: (body: unknown) => GenerationRequest;
  /** Name of the field that holds the prompts. */
  readonly promptField: string;
  readonly answers: AnswerKind;
}

/** The model that the address or the body names; both must agree. */
export function modelName(inAddress: string | undefined, inBody: string | undefined): string {
  if (inAddress !== undefined && inBody !== undefined && inAddress !== inBody) {
    throw invalid('model', `Invalid 'model': '${shown(inBody)}' is not the model of this address`);
  }
  const name = inAddress ?? inBody;
  if (name === undefined) throw invalid('model', "Invalid 'model': is required");
  return name;
}

const headOf = (
  { includeUsage, echo, callable, sampling }: GenerationRequest,
  jobs: readonly SequenceJob[],
  acceptedAtMs: number,
): AnswerHead => ({
  requestId: jobs[0].requestId,
  created: Math.floor(acceptedAtMs / 1000),
  model: jobs[0].model,
  choices: jobs.length,
  includeUsage,
  echo: echo ?? {},
  callable,
  logprobs: sampling.topLogprobs !== null,
});

/** A request that has a slot, and is to be queued. */
interface Entering {
  readonly request: GenerationRequest;
  readonly card: ModelCard;
  readonly place: InteractivePlace;
  readonly sequences: number;
  readonly timeoutMs: number | null;
  readonly answer: ResumableAnswer;
  /** Null where the client does not want to come back to its answer. */
  readonly resumable: Resumptions | null;
  readonly report: (error: unknown) => void;
}

/**
 * Asks when a request would begin, charges it, and keeps what it takes to come back to it.
 *
 * @throws {RequestError} 429 or 503 where it is not let in; nothing is charged or kept then
 */
async function enter(
  c: Context<GatewayEnvironment>,
  { dispatcher, limits, access }: GatewayDependencies,
  { request, card, place, sequences, timeoutMs, answer, resumable, report }: Entering,
) {
  const promptTokens = estimatePromptTokens(request.prompts[0]!);
  const question = { model: card.id, place, promptTokens, sequences, timeoutMs };
  const expected = await expectFirstToken(dispatcher, limits.firstTokenMs, question);
  const settle = await chargeRequest(c, access.limiter, c.get('accessKey'), estimateTokens(request, card));
  const hold = await resumable?.keep(answer).catch(async (error: unknown) => {
    await settle(0).catch(report);
    throw error;
  });
  return { settle, hold, predicted: expected && { predictedMs: expected.firstTokenMs } };
}

/** Handler of one kind of completion, at an address with or without a `:model`. */
export function generate(dependencies: GatewayDependencies, kind: CompletionKind) {
  const { registry, dispatcher, limits, clock, ids, admission, resumptions } = dependencies;

  return async (c: Context<GatewayEnvironment>): Promise<Response> => {
    const sent = await readJson(c, limits.bodyBytes);
    const lastEventId = c.req.header(LAST_EVENT_ID);
    if (lastEventId) return resumeAfter(c, dependencies, parseMessageId(lastEventId), kind.answers);
    const request = kind.parse(sent);
    const resumable = asksForResumption(c) && request.stream ? resumptions : null;
    const name = modelName(c.req.param('model'), request.model);
    const timeoutMs = requestTimeoutMs(c.req.header(REQUEST_TIMEOUT_HEADER));
    const key = c.get('accessKey');
    const { card } = await readyModel(registry, name, key);
    const watch = c.get('watch');
    watch.asks(name);
    checkPromptSize(request, limits.promptCharacters, kind.promptField);
    checkTokenIds(request, card);
    const place = queuePlace(request, key);

    const requestId = c.get('requestId');
    const report = (error: unknown) => dependencies.report(error, requestId);
    const acceptedAtMs = clock.nowMs();
    const span = c.get('span');
    const times = { acceptedAtMs, ...(timeoutMs !== null && { deadlineAtMs: acceptedAtMs + timeoutMs }) };
    const jobs = sequenceJobs(request, {
      requestId,
      model: name,
      ...times,
      ...(span && { trace: span.traceparent }),
      ...(resumable && { doorbell: requestDoorbellChannel(requestId) }),
      drawSeed: ids.seed,
    });
    const { choicesPerPrompt } = request;
    const head = headOf(request, jobs, acceptedAtMs);
    const answer = { kind: kind.answers, head, choicesPerPrompt, owner: key?.id ?? null, ...times };
    const { journal, format } = toolsFor(answer);

    const slot = admission.enter(c.req.raw.signal, limits.overallMs, timeoutMs);
    const entering = { request, card, place, sequences: jobs.length, timeoutMs, answer, resumable, report };
    const { settle, hold, predicted } = await enter(c, dependencies, entering).catch((error: unknown) => {
      slot.leave();
      throw error;
    });
    watch.generates(name, { acceptedAtMs, choices: jobs.length, choicesPerPrompt, ...predicted });
    const observer = traceGeneration(span, clock, watch);
    // Who comes back is not charged again, so what is left to be read stays charged as it was estimated.
    const settleAtEnd = async () =>
      hold === undefined || journal.done() ? settle(journal.usage().total_tokens) : undefined;
    const reading = { dispatcher, timeouts: limits, report, observer, hold, settle: settleAtEnd };
    const explain = explainUntaken(registry, name);
    const batches = runRequest({ ...reading, place, explain }, jobs, journal, slot);
    if (!request.stream) {
      const events: AnswerEvent[] = [];
      for await (const batch of batches) events.push(...batch);
      return c.json(format.whole(events, journal.usage()));
    }
    const has = resumable ? { requestId, messages: 0 } : undefined;
    return streamed(c, batches, slot.signal, { journal, format, report, has });
  };
}
