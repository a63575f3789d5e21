import { RequestError, shown } from '../../gateway/errors.ts';
import { checkPromptSize } from '../../gateway/schema/prompt-size.ts';
import type { GenerationRequest } from '../../gateway/schema/request.ts';
import type { BatchEndpoint, BatchError } from '../batch.ts';
import { CUSTOM_ID_LENGTH } from '../limits.ts';
import { ENDPOINT_KINDS } from './endpoints.ts';
import type { RawLine } from './read-lines.ts';

/** One request of a batch. */
export interface BatchLine {
  readonly number: number;
  readonly customId: string;
  readonly model: string;
  readonly request: GenerationRequest;
}

export interface LineRules {
  readonly endpoint: BatchEndpoint;
  /** As `GatewayLimits` has it. */
  readonly promptCharacters: number;
}

/** A line that is no valid request. */
export class LineError extends Error {
  override readonly name: string = 'LineError';
  readonly error: BatchError;

  constructor(error: BatchError) {
    super(error.message);
    this.error = error;
  }
}

function parseObject({ number: line, bytes }: RawLine): Record<string, unknown> {
  const refuse = (message: string) =>
    new LineError({ code: 'invalid_json_line', line, message, param: null });
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw refuse('This line is not valid UTF-8');
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw refuse('This line is not valid JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw refuse('This line is not a JSON object');
  }
  return value as Record<string, unknown>;
}

/** The request in a line's body. @throws {RequestError} naming the field of the body that is wrong */
function parseBody(body: unknown, { endpoint, promptCharacters }: LineRules): GenerationRequest {
  const kind = ENDPOINT_KINDS[endpoint];
  const request = kind.parse(body);
  checkPromptSize(request, promptCharacters, kind.promptField);
  return request;
}

/** @throws {LineError} for the first thing that is wrong */
export function parseBatchLine(raw: RawLine, rules: LineRules): BatchLine {
  const line = raw.number;
  const refuse = (code: string, param: string, message: string) =>
    new LineError({ code, line, message, param });
  const { custom_id: customId, method, url, body } = parseObject(raw);
  if (typeof customId !== 'string' || customId === '' || customId.length > CUSTOM_ID_LENGTH) {
    const message = `Invalid 'custom_id': must be a text of 1 to ${CUSTOM_ID_LENGTH} characters`;
    throw refuse('invalid_custom_id', 'custom_id', message);
  }
  if (method !== 'POST') throw refuse('invalid_method', 'method', 'Invalid \'method\': must be "POST"');
  if (url !== rules.endpoint) {
    const given = typeof url === 'string' ? `, not ${JSON.stringify(shown(url))}` : '';
    const message = `Invalid 'url': must be the batch's endpoint, ${JSON.stringify(rules.endpoint)}${given}`;
    throw refuse('invalid_url', 'url', message);
  }
  let request: GenerationRequest;
  try {
    request = parseBody(body, rules);
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    const { code, param, message } = error.failure;
    throw refuse(code ?? 'invalid_request', param === null ? 'body' : `body.${param}`, message);
  }
  const { model, stream } = request;
  if (stream) throw refuse('invalid_request', 'body.stream', "Invalid 'stream': a batch streams nothing");
  if (model === undefined) throw refuse('invalid_request', 'body.model', "Invalid 'model': is required");
  return { number: line, customId, model, request };
}
