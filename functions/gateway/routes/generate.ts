import type { Context } from 'hono';
import { chargeRequest, settledAtEnd } from '../access/charge.ts';
import { estimateTokens } from '../access/estimate-tokens.ts';
import { readJson } from '../body.ts';
import type { GatewayDependencies, GatewayEnvironment } from '../dependencies.ts';
import { invalid, shown } from '../errors.ts';
import { sequenceJobs } from '../generation/jobs.ts';
import { type AnswerEvent, createJournalReader } from '../generation/journal.ts';
import { runRequest } from '../generation/run.ts';
import type { AnswerFormat, AnswerHead } from '../responses/format.ts';
import { checkPromptSize } from '../schema/prompt-size.ts';
import type { GenerationRequest } from '../schema/request.ts';
import { checkTokenIds } from '../schema/token-ids.ts';
import { type EventBatches, SSE_HEADERS, sseBody } from '../sse.ts';
import { readyModel } from './models.ts';

/** What chat and text completions differ in. */
export interface CompletionKind {
  readonly parse: (body: unknown) => GenerationRequest;
  /** Name of the field that holds the prompts. */
  readonly promptField: string;
  readonly createFormat: (head: AnswerHead) => AnswerFormat;
}

/** The model that the address or the body names; both must agree. */
function modelName(inAddress: string | undefined, inBody: string | undefined): string {
  if (inAddress !== undefined && inBody !== undefined && inAddress !== inBody) {
    throw invalid('model', `Invalid 'model': '${shown(inBody)}' is not the model of this address`);
  }
  const name = inAddress ?? inBody;
  if (name === undefined) throw invalid('model', "Invalid 'model': is required");
  return name;
}

/** Waits until a pool has taken the request: what comes first decides the status. */
async function firstEvents(batches: EventBatches): Promise<readonly AnswerEvent[]> {
  for (let next = await batches.next(); !next.done; next = await batches.next()) {
    if (next.value.length > 0) return next.value;
  }
  return [];
}

/** Handler of one kind of completion, at an address with or without a `:model`. */
export function generate(dependencies: GatewayDependencies, kind: CompletionKind) {
  const { registry, dispatcher, limits, clock, ids, admission, access } = dependencies;

  return async (c: Context<GatewayEnvironment>): Promise<Response> => {
    const request = kind.parse(await readJson(c, limits.bodyBytes));
    const name = modelName(c.req.param('model'), request.model);
    const key = c.get('accessKey');
    const { card } = await readyModel(registry, name, key);
    const watch = c.get('watch');
    watch.asks(name);
    checkPromptSize(request, limits.promptCharacters, kind.promptField);
    checkTokenIds(request, card);

    const requestId = c.get('requestId');
    const report = (error: unknown) => dependencies.report(error, requestId);
    const acceptedAtMs = clock.nowMs();
    const jobs = sequenceJobs(request, { requestId, model: name, acceptedAtMs, drawSeed: ids.seed });
    const { choicesPerPrompt } = request;
    const journal = createJournalReader(jobs.length, choicesPerPrompt);
    const format = kind.createFormat({
      requestId,
      created: Math.floor(acceptedAtMs / 1000),
      model: name,
      choices: jobs.length,
      includeUsage: request.includeUsage,
      echo: request.echo ?? {},
      logprobs: request.sampling.topLogprobs !== null,
    });

    const slot = admission.enter(c.req.raw.signal, limits.overallMs);
    const charging = chargeRequest(c, access.limiter, key, estimateTokens(request, card));
    const settle = await charging.catch((error: unknown) => {
      slot.leave();
      throw error;
    });
    watch.generates(name, { acceptedAtMs, choices: jobs.length, choicesPerPrompt });
    const running = { dispatcher, timeouts: limits, report, observer: watch };
    const batches = settledAtEnd(
      runRequest(running, jobs, journal, slot),
      () => settle(journal.usage().total_tokens),
      report,
    );
    if (!request.stream) {
      const events: AnswerEvent[] = [];
      for await (const batch of batches) events.push(...batch);
      return c.json(format.whole(events, journal.usage()));
    }
    const first = await firstEvents(batches);
    const body = sseBody(first, batches, slot.signal, { journal, format, report });
    return c.body(body, 200, SSE_HEADERS);
  };
}
