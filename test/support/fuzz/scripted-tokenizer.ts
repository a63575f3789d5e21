import { Redis } from 'ioredis';
import {
  TOKEN_STREAM_FIELD,
  tokenizationKey,
  tokenizationListKey,
  tokenStreamKey,
} from '../../../shared/protocol/keys.ts';
import { ringMessage } from '../../../shared/protocol/ring.ts';
import type { TokenizationReply, TokenizationRequest } from '../../../shared/protocol/tokenization.ts';

const STREAM_TTL_S = 20;

const replyTo = ({ question }: TokenizationRequest): TokenizationReply =>
  question.kind === 'tokenize'
    ? { kind: 'tokenized', ids: [1, 2], tokenTexts: question.withTokenTexts ? ['a', 'b'] : null }
    : { kind: 'detokenized', text: 'ab' };

/** Answers every question to the tokenizer of a model at once. @returns ends that */
export function startScriptedTokenizer(url: string, model: string): () => void {
  const popping = new Redis(url, { maxRetriesPerRequest: null });
  const redis = new Redis(url);
  popping.on('error', () => {});

  const serve = async (): Promise<void> => {
    for (;;) {
      const popped = await popping.blpop(tokenizationListKey(model), 0);
      const requestId = popped![1];
      const text = await redis.getdel(tokenizationKey(model, requestId));
      if (text === null) continue;
      const request = JSON.parse(text) as TokenizationRequest;
      const json = JSON.stringify(replyTo(request));
      const key = tokenStreamKey(requestId);
      const writes = redis.multi().xadd(key, '*', TOKEN_STREAM_FIELD, json).expire(key, STREAM_TTL_S);
      const ring = ringMessage([{ requestId, beforeId: '', events: [json] }]);
      if (request.doorbell !== undefined) writes.publish(request.doorbell, ring);
      await writes.exec();
    }
  };
  // It ends with its connection.
  serve().catch(() => {});
  return () => {
    popping.disconnect();
    redis.disconnect();
  };
}
