import type { Context } from 'hono';
import type { ModelCard } from '../../../shared/protocol/member.ts';
import type { Prompt } from '../../../shared/protocol/request.ts';
import {
  TOKENIZATION_LIFE_MS,
  type TokenizationQuestion,
  type TokenizationReply,
} from '../../../shared/protocol/tokenization.ts';
import { chargeRequest } from '../access/charge.ts';
import { readJson } from '../body.ts';
import type { GatewayDependencies, GatewayEnvironment } from '../dependencies.ts';
import { invalid, poolFailure } from '../errors.ts';
import { modelNotReady } from '../not-ready.ts';
import { REQUEST_TIMEOUT_HEADER, requestTimeoutMs } from '../request-timeout.ts';
import { checkPromptSize } from '../schema/prompt-size.ts';
import { parseDetokenize, parseTokenize, type TokenizerRequest } from '../schema/tokenization.ts';
import { modelName } from './generate.ts';
import { readyModel } from './models.ts';

/** Ids that no model has are the client's mistake; to a tokenizer they would be nothing. */
function checkIds(question: TokenizationQuestion, { vocabularySize }: ModelCard): void {
  if (question.kind !== 'detokenize') return;
  const wrong = question.ids.find((id) => id >= vocabularySize);
  if (wrong === undefined) return;
  const message = `Invalid 'tokens': token id ${wrong} is not below the vocabulary size ${vocabularySize}`;
  throw invalid('tokens', message);
}

const promptOf = (question: TokenizationQuestion): Prompt =>
  question.kind === 'tokenize' ? question.prompt : { kind: 'tokens', ids: question.ids };

/** vLLM's objects. @throws {RequestError} what the tokenizer refused */
function answerOf(reply: TokenizationReply, { contextLength }: ModelCard): object {
  if (reply.kind === 'failed') throw poolFailure(reply.error);
  if (reply.kind === 'detokenized') return { prompt: reply.text };
  const { ids, tokenTexts } = reply;
  return { count: ids.length, max_model_len: contextLength, tokens: ids, token_strs: tokenTexts };
}

/** A question takes a request off its key's limit, but no tokens: nothing is generated. */
function askingTokenizer(dependencies: GatewayDependencies, parse: (body: unknown) => TokenizerRequest) {
  const { registry, dispatcher, limits, admission, access } = dependencies;
  const waitMs = Math.min(limits.queueWaitMs, TOKENIZATION_LIFE_MS);

  return async (c: Context<GatewayEnvironment>): Promise<Response> => {
    const { model: asked, question, param } = parse(await readJson(c, limits.bodyBytes));
    const model = modelName(c.req.param('model'), asked);
    const key = c.get('accessKey');
    const served = await readyModel(registry, model, key);
    // A question wakes nobody: it does not stand in the queue that scalers look at.
    if (served.state !== 'ready') throw modelNotReady(served);
    const { card } = served;
    c.get('watch').asks(model);
    checkPromptSize({ prompts: [promptOf(question)] }, limits.promptCharacters, param);
    checkIds(question, card);
    const timeoutMs = requestTimeoutMs(c.req.header(REQUEST_TIMEOUT_HEADER));
    const slot = admission.enter(c.req.raw.signal, limits.overallMs, timeoutMs);
    try {
      await chargeRequest(c, access.limiter, key, 0);
      const asking = { requestId: c.get('requestId'), model, signal: slot.signal, waitMs };
      return c.json(answerOf(await dispatcher.tokenize(question, asking), card));
    } finally {
      slot.leave();
    }
  };
}

/** `POST /tokenize`. */
export const tokenize = (dependencies: GatewayDependencies) => askingTokenizer(dependencies, parseTokenize);

/** `POST /detokenize`. */
export const detokenize = (dependencies: GatewayDependencies) =>
  askingTokenizer(dependencies, parseDetokenize);
