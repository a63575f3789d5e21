import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { RequestFailure } from '../../shared/protocol/token-event.ts';
import { DispatchError, type DispatchFault } from '../dispatcher/errors.ts';

/** Seconds after which a client may try again what failed for want of capacity. */
export const RETRY_AFTER_S = 2;
/** Seconds after which a model that is loading may be asked again. */
export const LOADING_RETRY_AFTER_S = 5;
/** Text of the client's that an error repeats is cut to this many UTF-16 units. */
const SHOWN_LENGTH = 64;

/** An answer other than success, in the terms of OpenAI's error object. */
export class RequestError extends Error {
  override readonly name: string = 'RequestError';
  readonly failure: RequestFailure;
  readonly retryAfterS: number | null;

  constructor(failure: RequestFailure, retryAfterS: number | null = null) {
    super(failure.message);
    this.failure = failure;
    this.retryAfterS = retryAfterS;
  }
}

/** The client hung up: there is nobody to answer. */
export class ClientGoneError extends Error {
  override readonly name: string = 'ClientGoneError';
}

/** A client's text as an error may repeat it: short, and valid Unicode. */
export const shown = (text: string): string =>
  (text.length > SHOWN_LENGTH ? `${text.slice(0, SHOWN_LENGTH)}…` : text).toWellFormed();

/** The request is wrong; `param` names the field. */
export const invalid = (
  param: string | null,
  message: string,
  code: string | null = null,
  status = 400,
): RequestError => new RequestError({ status, type: 'invalid_request_error', code, param, message });

/** The request is right, but cannot be served now. */
export const unavailable = (code: string, message: string, retryAfterS = RETRY_AFTER_S): RequestError =>
  new RequestError({ status: 503, type: 'server_error', code, param: null, message }, retryAfterS);

const timedOut = (code: string, message: string): RequestError =>
  new RequestError({ status: 504, type: 'server_error', code, param: null, message });

export const modelNotFound = (model: string): RequestError =>
  invalid(
    'model',
    `The model '${shown(model)}' does not exist, or you have no access to it`,
    'model_not_found',
    404,
  );

/** A failure that a pool reported; one without a sensible status counts as the server's. */
export function poolFailure(failure: RequestFailure): RequestError {
  const isErrorStatus = Number.isInteger(failure.status) && failure.status >= 400 && failure.status <= 599;
  const status = isErrorStatus ? failure.status : 500;
  return new RequestError({ ...failure, status }, status === 429 || status === 503 ? RETRY_AFTER_S : null);
}

const DISPATCH_ERRORS: Record<DispatchFault, (message: string) => RequestError> = {
  broker: (message) => unavailable('broker_unavailable', `${message}; try again`),
  busy: (message) => unavailable('overloaded', `${message}; try again`),
  queue: (message) => unavailable('queue_timeout', `${message}; try again later`),
  silence: (message) => timedOut('generation_timeout', message),
  overall: (message) => timedOut('request_timeout', `${message}; ask for fewer tokens`),
  deadline: (message) => timedOut('deadline_exceeded', message),
};

const internal = (): RequestError =>
  new RequestError({
    status: 500,
    type: 'server_error',
    code: 'internal_error',
    param: null,
    message: 'The server failed to answer; the request id in x-request-id helps to find out why',
  });

/**
 * What to tell the client about anything that was thrown. Defects of ours go to `report`; of them, and of what Redis
 * said, the client learns nothing, as such texts may hold addresses or passwords.
 */
export function toRequestError(error: unknown, report: (error: unknown) => void): RequestError {
  if (error instanceof RequestError) return error;
  if (error instanceof DispatchError) {
    if (error.fault === 'broker') report(error);
    return DISPATCH_ERRORS[error.fault](error.message);
  }
  report(error);
  return internal();
}

/** OpenAI's error object. */
export const failureBody = ({ message, type, param, code }: RequestFailure) => ({
  error: { message, type, param, code },
});

export const errorBody = ({ failure }: RequestError) => failureBody(failure);

export function errorResponse(c: Context, error: RequestError, extra: object = {}): Response {
  if (error.retryAfterS !== null) c.header('Retry-After', String(error.retryAfterS));
  if (error.failure.status === 401) c.header('WWW-Authenticate', 'Bearer');
  return c.json({ ...errorBody(error), ...extra }, error.failure.status as ContentfulStatusCode);
}
