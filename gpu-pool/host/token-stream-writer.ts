import type { Redis } from 'ioredis';
import { TOKEN_STREAM_FIELD, TOKEN_STREAM_TTL_S, tokenStreamKey } from '../../shared/protocol/keys.ts';
import type { TokenEvent } from '../../shared/protocol/token-event.ts';
import { Doorbells } from './doorbells.ts';

/** Appends events to the token streams of their requests, and tells them to those readers that listen. */
export class TokenStreamWriter {
  readonly doorbells = new Doorbells();
  readonly #redis: Redis;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /**
   * Stores events in one round trip, in their order. The stream of a request lives on for a while after its last event.
   *
   * @throws what Redis answered when it refuses an event, for instance because its memory is full
   */
  async write(events: readonly (readonly [string, TokenEvent])[]): Promise<void> {
    if (events.length === 0) return;
    const pipeline = this.#redis.pipeline();
    const texts = events.map(([requestId, event]) => [requestId, JSON.stringify(event)] as const);
    for (const [requestId, json] of texts)
      pipeline.xadd(tokenStreamKey(requestId), '*', TOKEN_STREAM_FIELD, json);
    // Behind the entries: who looks for them then finds them.
    for (const [channel, message] of this.doorbells.messages(texts)) pipeline.publish(channel, message);
    for (const [requestId, event] of events) {
      // The first event bounds the life of a stream whose host dies, the last one that of a complete stream.
      if (event.kind !== 'token') pipeline.expire(tokenStreamKey(requestId), TOKEN_STREAM_TTL_S);
    }
    const replies = (await pipeline.exec()) ?? [];
    const refused = replies.find(([error]) => error !== null);
    if (refused) throw refused[0];
    for (const [index, [requestId]] of texts.entries())
      this.doorbells.written(requestId, replies[index]![1] as string);
  }

  /** Answer tokens of one choice that earlier attempts at its job already sent: the journal that a new attempt resumes. */
  async emittedTokens(requestId: string, choice: number): Promise<number[]> {
    const entries = await this.#redis.xrange(tokenStreamKey(requestId), '-', '+');
    const ids: number[] = [];
    for (const [, fields] of entries) {
      const event = JSON.parse(fields[1]!) as TokenEvent;
      // A token may be told twice, and a server that lost entries leaves a hole: what is behind it is computed again.
      if (event.kind === 'token' && event.choice === choice && event.position === ids.length)
        ids.push(event.id);
    }
    return ids;
  }
}
