import { invalid } from '../../gateway/errors.ts';
import { checkedLines, type UploadLimits } from './checked-lines.ts';
import { DelimitedReader, TruncatedError } from './delimited-reader.ts';
import { BEFORE_FORM, boundaryOf, collect, type FormPart, malformed, readForm } from './multipart.ts';

/** Largest plain value of the form, in bytes. */
const MAX_VALUE_BYTES = 1_024;
/** Longest name of a file that is kept, in UTF-16 units. */
const FILENAME_LENGTH = 255;

export interface Upload {
  readonly filename: string;
  readonly bytes: number;
}

export interface UploadRequest {
  readonly contentType: string | undefined;
  readonly body: AsyncIterable<Uint8Array>;
  readonly limits: UploadLimits;
  /** Stores the file. @returns its size in bytes */
  readonly store: (content: AsyncIterable<Uint8Array>) => Promise<number>;
}

/** @throws {RequestError} 400 where a plain value is not what it may be */
async function checkValue({ name, content }: FormPart): Promise<void> {
  const value = new TextDecoder().decode(await collect(content, MAX_VALUE_BYTES, `the field "${name}"`));
  if (name === 'purpose' && value !== 'batch') {
    throw invalid('purpose', 'Invalid \'purpose\': only "batch" is supported');
  }
  if (name.startsWith('expires_after')) {
    const message = "Unsupported 'expires_after': files stay until they are deleted";
    throw invalid('expires_after', message, 'unsupported_parameter');
  }
}

async function readFields(reader: DelimitedReader, boundary: string, request: UploadRequest) {
  let upload: Upload | undefined;
  let hasPurpose = false;
  for await (const part of readForm(reader, boundary)) {
    if (part.name !== 'file') {
      await checkValue(part);
      hasPurpose ||= part.name === 'purpose';
      continue;
    }
    if (part.filename === null) throw invalid('file', "Invalid 'file': must be a file, with a name");
    if (upload !== undefined) throw invalid('file', "Invalid 'file': only one can be sent at a time");
    const bytes = await request.store(checkedLines(part.content, request.limits));
    upload = { filename: part.filename.slice(0, FILENAME_LENGTH).toWellFormed(), bytes };
  }
  if (upload === undefined) throw invalid('file', "Invalid 'file': is required");
  if (!hasPurpose) throw invalid('purpose', "Invalid 'purpose': is required");
  return upload;
}

/**
 * Takes a form with a file in as it comes, holding no more than a chunk of it. Where it is refused the rest is read all the
 * same, since most clients read the answer only after that.
 *
 * @throws {RequestError} 400 or 413; the file may have been stored
 */
export async function readUpload(request: UploadRequest): Promise<Upload> {
  const boundary = boundaryOf(request.contentType);
  const reader = new DelimitedReader(request.body, BEFORE_FORM);
  try {
    return await readFields(reader, boundary, request);
  } catch (error) {
    // A client that is gone fails this too, and what was wrong first is what counts.
    await reader.discard(request.limits.fileBytes).catch(() => {});
    throw error instanceof TruncatedError ? malformed('it ends before its last boundary') : error;
  }
}
