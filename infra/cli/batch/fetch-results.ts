import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream as NodeReadableStream } from 'node:stream/web';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import type { BatchObject, GatewayClient } from './gateway-client.ts';

/** A file is there whole or not at all. @throws JanusError when it cannot be written */
async function download(content: ReadableStream<Uint8Array>, path: string): Promise<void> {
  const temporary = `${path}.${process.pid}.new`;
  try {
    const source = Readable.fromWeb(content as NodeReadableStream<Uint8Array>);
    await pipeline(source, createWriteStream(temporary));
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw new JanusError(`${path} cannot be written (${(error as Error).message}).`);
  }
}

/** Where the lines that failed go, beside those that were answered. */
const errorPath = (path: string): string => `${path.replace(/\.jsonl$/, '')}.errors.jsonl`;

/**
 * Writes what a batch brought to `path`, and what failed beside it.
 *
 * @returns the files that were written
 * @throws JanusError when there is nothing yet, or a file cannot be written
 */
export async function fetchResults(
  client: GatewayClient,
  batch: BatchObject,
  path: string,
): Promise<readonly string[]> {
  const wanted = [
    [batch.output_file_id, path],
    [batch.error_file_id, errorPath(path)],
  ] as const;
  const written: string[] = [];
  for (const [fileId, target] of wanted) {
    if (fileId === null) continue;
    await download(await client.content(fileId), target);
    written.push(target);
  }
  if (written.length > 0) return written;
  throw new JanusError(
    `${batch.id} is ${batch.status} and has no results; \`janus batch watch ${batch.id}\` waits for its end.`,
  );
}
