import { invalid, type RequestError } from '../../gateway/errors.ts';
import { NEWLINE } from '../input/read-lines.ts';
import type { BatchLimits } from '../limits.ts';

export type UploadLimits = Pick<BatchLimits, 'fileBytes' | 'fileLines' | 'lineBytes'>;

const refuse = (message: string, code: string, status = 400): RequestError =>
  invalid('file', `Invalid 'file': ${message}`, code, status);

/**
 * Passes a file on as long as it keeps to the limits. What its lines say is checked when a batch is made of it.
 *
 * @throws {RequestError} 400 naming the line, or 413
 */
export async function* checkedLines(
  content: AsyncIterable<Uint8Array>,
  { fileBytes, fileLines, lineBytes }: UploadLimits,
): AsyncGenerator<Uint8Array, void, undefined> {
  let bytes = 0;
  let line = 1;
  /** Bytes of the line so far. */
  let length = 0;
  for await (const chunk of content) {
    bytes += chunk.length;
    if (bytes > fileBytes) throw refuse(`has more than ${fileBytes} bytes`, 'file_too_large', 413);
    for (let start = 0; start < chunk.length; ) {
      const end = chunk.indexOf(NEWLINE, start);
      length += (end < 0 ? chunk.length : end) - start;
      if (line > fileLines) throw refuse(`line ${line} is one too many`, 'too_many_lines');
      if (length > lineBytes) throw refuse(`line ${line} has more than ${lineBytes} bytes`, 'line_too_long');
      if (end < 0) break;
      line += 1;
      length = 0;
      start = end + 1;
    }
    yield chunk;
  }
  if (bytes === 0) throw refuse('is empty', 'empty_file');
}
