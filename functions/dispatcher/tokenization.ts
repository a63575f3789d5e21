import { tokenizationKey, tokenizationListKey, tokenStreamKey } from '../../shared/protocol/keys.ts';
import type { TokenEvent } from '../../shared/protocol/token-event.ts';
import type {
  TokenizationQuestion,
  TokenizationReply,
  TokenizationRequest,
} from '../../shared/protocol/tokenization.ts';
import { ask } from './ask.ts';
import { DispatchError } from './errors.ts';
import { type ReadDependencies, readEvents } from './read-events.ts';

/** Questions to the tokenizer of one model that may wait at once; each is as large as a request's body. */
export const WAITING_TOKENIZATIONS = 256;

export interface TokenizationOptions {
  readonly requestId: string;
  readonly model: string;
  readonly signal: AbortSignal;
  /** Longest wait for the answer, in milliseconds; `TOKENIZATION_LIFE_MS` at most. */
  readonly waitMs: number;
}

/**
 * Queues one question.
 *
 * KEYS 1 list of the model, 2 question; ARGV 1 request id, 2 question, 3 milliseconds that both live, 4 most that may wait.
 * Returns 1, or 0 where too many wait, which changes nothing.
 */
const QUEUE_SCRIPT = `
if redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[4]) then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
`;

type Events = AsyncGenerator<readonly TokenEvent[], never, undefined>;

/** The first event, however often a read brings none. */
async function firstOf(events: Events): Promise<TokenEvent> {
  const { value } = await events.next();
  return value[0] ?? firstOf(events);
}

/**
 * Asks the tokenizer of a model, which its attention hosts hold: one of them takes the question and answers in the token stream of
 * the request, whose only entry that is.
 *
 * @throws {DispatchError} `busy` when too many questions wait, `queue` when none of the hosts answers in time, `broker`
 * @throws the signal's reason when it aborts
 */
export async function askTokenizer(
  reading: ReadDependencies,
  question: TokenizationQuestion,
  { requestId, model, signal, waitMs }: TokenizationOptions,
): Promise<TokenizationReply> {
  const { redis, streams } = reading;
  const { doorbell } = streams;
  const request: TokenizationRequest = { question, ...(doorbell !== undefined && { doorbell }) };
  const key = tokenizationKey(model, requestId);
  signal.throwIfAborted();
  const queued = await ask(
    redis.eval(
      QUEUE_SCRIPT,
      2,
      tokenizationListKey(model),
      key,
      requestId,
      JSON.stringify(request),
      waitMs,
      WAITING_TOKENIZATIONS,
    ),
  );
  if (queued === 0) throw new DispatchError('busy', 'Too many requests wait for the tokenizer of this model');
  // The first deadline is the one that counts.
  const timeouts = { queueWaitMs: waitMs, silenceMs: waitMs, overallMs: 2 * waitMs };
  const events = readEvents(reading, requestId, { signal, timeouts });
  try {
    return (await firstOf(events)) as TokenizationReply;
  } finally {
    await events.return(undefined as never);
    // Both expire in any case; nobody waits for their removal.
    for (const left of [key, tokenStreamKey(requestId)]) redis.unlink(left).catch(() => {});
  }
}
