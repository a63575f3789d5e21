import { open } from 'node:fs/promises';
import { JanusError } from '../../../shared/errors/janus-error.ts';

/** Bytes that are looked at; gateways take no longer lines. */
const FIRST_BYTES = 1024 * 1024;

/**
 * The endpoint that the first request of a batch's file asks for, and all others must, too.
 *
 * @throws JanusError when the file cannot be read or does not say
 */
export async function firstUrl(path: string): Promise<string> {
  const line = (await beginningOf(path)).split('\n').find((text) => text.trim() !== '');
  if (line === undefined) {
    throw new JanusError(`${path} begins with nothing; a batch needs one request per line.`);
  }
  try {
    const { url } = JSON.parse(line) as { url?: unknown };
    if (typeof url === 'string') return url;
  } catch {
    // Told below.
  }
  throw new JanusError(
    `The first line of ${path} is no request with a "url"; say with --endpoint which it is.`,
  );
}

async function beginningOf(path: string): Promise<string> {
  try {
    await using file = await open(path);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(FIRST_BYTES), 0, FIRST_BYTES, 0);
    return buffer.toString('utf8', 0, bytesRead);
  } catch (error) {
    throw new JanusError(`${path} cannot be read (${(error as Error).message}).`);
  }
}
