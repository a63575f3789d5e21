import type { Context } from 'hono';
import { ClientGoneError, invalid } from './errors.ts';

/** A body that is too large is read on for this many times its limit: most clients read the answer only after that. */
const DISCARD_FACTOR = 4;

/** The pieces of a body. Nothing but its connection can fail it: its sender is gone, or has sent less than announced. */
export async function* bodyPieces(
  body: ReadableStream<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* body;
  } catch {
    throw new ClientGoneError();
  }
}

/**
 * The body as far as it fits `limit` bytes; undefined when it is larger. Only a body whose length is not announced is
 * counted here: an announced length is what the server reads, no more.
 */
async function readBody(c: Context, limit: number): Promise<ArrayBuffer | Uint8Array | undefined> {
  const announced = c.req.header('Content-Length');
  if (announced !== undefined) {
    if (Number(announced) > limit) return undefined;
    return c.req.arrayBuffer().catch(() => {
      throw new ClientGoneError();
    });
  }
  if (c.req.raw.body === null) return new ArrayBuffer(0);
  const kept = new Uint8Array(limit);
  let length = 0;
  for await (const chunk of bodyPieces(c.req.raw.body)) {
    if (length + chunk.length <= limit) kept.set(chunk, length);
    length += chunk.length;
    if (length > limit * DISCARD_FACTOR) break;
  }
  return length > limit ? undefined : kept.subarray(0, length);
}

/**
 * The body as JSON. Bytes that are not UTF-8 are refused rather than replaced.
 *
 * @param limit largest body, in bytes
 * @throws {RequestError} 413 when it is larger, 400 when it is not JSON
 * @throws {ClientGoneError} when it does not arrive
 */
export async function readJson(c: Context, limit: number): Promise<unknown> {
  const bytes = await readBody(c, limit);
  if (bytes === undefined) {
    throw invalid(null, `The request body is larger than ${limit} bytes`, 'request_too_large', 413);
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw invalid(null, 'The request body is not valid UTF-8', 'invalid_json');
  }
  try {
    return JSON.parse(text);
  } catch {
    throw invalid(null, 'The request body is not valid JSON', 'invalid_json');
  }
}
