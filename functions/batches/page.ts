import type { Redis } from 'ioredis';
import { ask } from '../dispatcher/ask.ts';

/** Ids that are read from Redis at a time. */
const READ_IDS = 256;

export interface PageRequest {
  /** Id behind which the page begins; undefined: at the beginning. */
  readonly after: string | undefined;
  readonly limit: number;
  /** By the order in which they were made. */
  readonly order: 'asc' | 'desc';
}

export interface Page<T> {
  readonly data: readonly T[];
  readonly hasMore: boolean;
}

/**
 * Reads a page of what an index lists.
 *
 * @param index sorted set of ids
 * @param read record of an id; undefined where it is gone or does not belong to the list
 * @returns undefined when the index does not hold `after`
 */
export async function readPage<T>(
  redis: Redis,
  index: string,
  { after, limit, order }: PageRequest,
  read: (id: string) => Promise<T | undefined>,
): Promise<Page<T> | undefined> {
  let start = 0;
  if (after !== undefined) {
    const rank = await ask(order === 'asc' ? redis.zrank(index, after) : redis.zrevrank(index, after));
    if (rank === null) return undefined;
    start = rank + 1;
  }
  const found: T[] = [];
  // One more than asked for tells whether there are more.
  while (found.length <= limit) {
    const end = start + READ_IDS - 1;
    const ids = await ask(
      order === 'asc' ? redis.zrange(index, start, String(end)) : redis.zrevrange(index, start, end),
    );
    for (const record of await Promise.all(ids.map(read))) {
      if (record !== undefined) found.push(record);
    }
    if (ids.length < READ_IDS) break;
    start += READ_IDS;
  }
  return { data: found.slice(0, limit), hasMore: found.length > limit };
}
