import { invalid, type RequestError } from '../../gateway/errors.ts';
import type { DelimitedReader } from './delimited-reader.ts';

/** Parts of one body, and bytes before the first of them and of the headers of each. */
const MAX_PARTS = 32;
const MAX_PREAMBLE_BYTES = 1_024;
const MAX_HEADER_BYTES = 4_096;

const LINE_END = '\r\n';
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const HEADERS_END = encode(LINE_END + LINE_END);

/** One field of a form. */
export interface FormPart {
  readonly name: string;
  /** Of a file; null of a plain value. */
  readonly filename: string | null;
  /** To be read to its end before the next part is asked for. */
  readonly content: AsyncIterable<Uint8Array>;
}

export const malformed = (what: string): RequestError =>
  invalid(null, `The form in the request body is malformed: ${what}`, 'invalid_multipart');

/** What separates the parts, without the line's end before it, which the reader adds. @throws {RequestError} 400 */
export function boundaryOf(contentType: string | undefined): string {
  const found = /^multipart\/form-data\s*;.*?boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i.exec(
    contentType ?? '',
  );
  const boundary = found?.[1] ?? found?.[2];
  if (boundary !== undefined) return boundary;
  const message = 'The request must be a form: multipart/form-data with the fields "purpose" and "file"';
  throw invalid(null, message, 'invalid_multipart');
}

/** All bytes of a short piece. @throws {RequestError} 400 when there are more than `limit` */
export async function collect(
  pieces: AsyncIterable<Uint8Array>,
  limit: number,
  what: string,
): Promise<Uint8Array> {
  const kept = new Uint8Array(limit);
  let length = 0;
  for await (const piece of pieces) {
    if (length + piece.length > limit) throw malformed(`${what} has more than ${limit} bytes`);
    kept.set(piece, length);
    length += piece.length;
  }
  return kept.subarray(0, length);
}

/** A parameter of `Content-Disposition`. Quotes inside are written as `\"` or, by browsers, as `%22`. */
function parameter(disposition: string, name: string): string | null {
  const found = new RegExp(`;\\s*${name}="((?:[^"\\\\]|\\\\.)*)"`, 'i').exec(disposition);
  return found === null ? null : found[1]!.replace(/\\(.)/g, '$1').replaceAll('%22', '"');
}

function parseHeaders(bytes: Uint8Array): Pick<FormPart, 'name' | 'filename'> {
  const lines = new TextDecoder().decode(bytes).split(LINE_END);
  const disposition = lines.find((line) => /^content-disposition\s*:\s*form-data\s*;/i.test(line)) ?? '';
  const name = parameter(disposition, 'name');
  if (name === null) throw malformed('a part has no name');
  return { name, filename: parameter(disposition, 'filename') };
}

/**
 * The fields of a form (`multipart/form-data`, RFC 7578) as they come in.
 *
 * @param reader of the body behind a line's end, as which the first boundary has none before it
 * @throws {RequestError} 400 when the body is no such form
 * @throws {TruncatedError} when it ends before its last boundary, as the parts do too
 */
export async function* readForm(
  reader: DelimitedReader,
  boundary: string,
): AsyncGenerator<FormPart, void, undefined> {
  const delimiter = encode(`${LINE_END}--${boundary}`);
  await collect(reader.until(delimiter), MAX_PREAMBLE_BYTES, 'what comes before the first part');
  for (let count = 0; ; count++) {
    const next = new TextDecoder().decode(await reader.take(2));
    if (next === '--') return;
    if (next !== LINE_END) throw malformed('a boundary is followed by something else than a line’s end');
    if (count === MAX_PARTS) throw malformed(`it has more than ${MAX_PARTS} parts`);
    const headers = await collect(reader.until(HEADERS_END), MAX_HEADER_BYTES, 'the headers of a part');
    yield { ...parseHeaders(headers), content: reader.until(delimiter) };
  }
}

/** What `DelimitedReader` is to read before the body. */
export const BEFORE_FORM = encode(LINE_END);
