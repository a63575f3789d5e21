import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import {
  TOKEN_STREAM_FIELD,
  tokenizationKey,
  tokenizationListKey,
  tokenStreamKey,
} from '../../../shared/protocol/keys.ts';
import { ringMessage } from '../../../shared/protocol/ring.ts';
import {
  TOKENIZATION_LIFE_MS,
  type TokenizationQuestion,
  type TokenizationRequest,
} from '../../../shared/protocol/tokenization.ts';
import type { Host } from '../host.ts';
import { TokenizerThread } from './tokenizer-thread.ts';

/** Longest wait of one pop. */
const POP_WAIT_S = 5;
/** Pause after Redis refused something. */
const RETRY_MS = 500;
/** How long a host that closes waits for the answer under way. */
const CLOSE_LIMIT_MS = 2_000;

type Answer = (question: TokenizationQuestion) => Promise<string>;

/** Answers the question of one request, unless nobody waits for it any more. */
async function answerRequest(redis: Redis, model: string, requestId: string, answer: Answer): Promise<void> {
  const text = await redis.getdel(tokenizationKey(model, requestId));
  if (text === null) return;
  const { question, doorbell } = JSON.parse(text) as TokenizationRequest;
  const json = await answer(question);
  const stream = tokenStreamKey(requestId);
  const pipeline = redis.pipeline();
  pipeline.xadd(stream, '*', TOKEN_STREAM_FIELD, json);
  if (doorbell !== undefined) {
    pipeline.publish(doorbell, ringMessage([{ requestId, beforeId: '', events: [json] }]));
  }
  pipeline.pexpire(stream, TOKENIZATION_LIFE_MS);
  const refused = (await pipeline.exec())?.find(([error]) => error !== null);
  if (refused?.[0]) throw refused[0];
}

/**
 * Answers questions to the tokenizer of the host's model until the host closes, one at a time, on a thread of their own. They take
 * no KV slot and do not stand in the queue of generations. A question that a host took down with it is lost: its sender is told
 * when its time is up.
 */
export function serveTokenizations(host: Host): void {
  const { redis, config, options } = host;
  const { name: model, folder } = options.model;
  const tokenizer = new TokenizerThread({ folder, vocabularySize: config.vocabularySize }, host.log);
  const popping = redis.duplicate();
  // The host's own connection reports; without a listener a broken one would end the process.
  popping.on('error', () => {});
  let closed = false;

  const serve = async (): Promise<void> => {
    while (!closed) {
      try {
        const popped = await popping.blpop(tokenizationListKey(model), POP_WAIT_S);
        if (popped !== null) {
          await answerRequest(redis, model, popped[1], (question) => tokenizer.answer(question));
        }
      } catch (error) {
        if (closed) return;
        host.log(`tokenization: ${error instanceof Error ? error.message : String(error)}`);
        await sleep(RETRY_MS);
      }
    }
  };
  const served = serve();

  host.onClose(async () => {
    closed = true;
    popping.disconnect();
    await Promise.race([served, sleep(CLOSE_LIMIT_MS, undefined, { ref: false })]);
    await tokenizer.close();
  });
}
