import type { RequestFailure } from '../../shared/protocol/token-event.ts';

/** The request itself is wrong; OpenAI's clients do not repeat it. */
export function invalidRequest(
  param: string | null,
  message: string,
  code: string | null = null,
): RequestFailure {
  return { status: 400, type: 'invalid_request_error', code, param, message };
}

/** The pool could not serve the request now; clients repeat it. */
export function unavailable(message: string): RequestFailure {
  return { status: 503, type: 'server_error', code: 'pool_unavailable', param: null, message };
}

/** A defect of ours. */
export function serverFault(message: string): RequestFailure {
  return { status: 500, type: 'server_error', code: null, param: null, message };
}

/** The client does not wait any longer. */
export function deadlineExceeded(message: string): RequestFailure {
  return { status: 504, type: 'server_error', code: 'deadline_exceeded', param: null, message };
}
