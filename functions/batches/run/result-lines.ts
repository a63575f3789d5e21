import { errorBody, type RequestError } from '../../gateway/errors.ts';
import type { BatchLine } from '../input/parse-line.ts';
import type { LineResult } from './result-log.ts';

const BATCH_PREFIX = 'batch_';

interface LineOutcome {
  readonly response: {
    readonly status_code: number;
    readonly request_id: string;
    readonly body: object;
  } | null;
  readonly error: { readonly code: string; readonly message: string } | null;
}

/** OpenAI's line of an output or error file. The same line of the same batch always gets the same id. */
const textOf = (batchId: string, line: BatchLine, outcome: LineOutcome): string => {
  const id = `batch_req_${batchId.slice(BATCH_PREFIX.length)}-${line.number}`;
  return `${JSON.stringify({ id, custom_id: line.customId, ...outcome })}\n`;
};

export const answered = (batchId: string, line: BatchLine, requestId: string, body: object): LineResult => {
  const response = { status_code: 200, request_id: requestId, body };
  return { kind: 'output', text: textOf(batchId, line, { response, error: null }) };
};

export const refused = (
  batchId: string,
  line: BatchLine,
  requestId: string,
  error: RequestError,
): LineResult => {
  const response = {
    status_code: error.failure.status,
    request_id: requestId,
    body: errorBody(error),
  };
  return { kind: 'error', text: textOf(batchId, line, { response, error: null }) };
};

export const expired = (batchId: string, line: BatchLine): LineResult => {
  const message = 'This request could not be executed before the completion window expired.';
  const outcome = { response: null, error: { code: 'batch_expired', message } };
  return { kind: 'error', text: textOf(batchId, line, outcome) };
};
