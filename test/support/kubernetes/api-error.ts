import type { V1Status } from '@kubernetes/client-node';

/** A refusal as an API server writes it: a `Status`, and where it wants to be asked later, when. */
export class ApiError extends Error {
  readonly code: number;
  readonly reason: string;
  readonly retryAfterS: number | undefined;

  constructor(code: number, reason: string, message: string, retryAfterS?: number) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.retryAfterS = retryAfterS;
  }

  status(): V1Status {
    const { code, reason, message, retryAfterS } = this;
    const details = retryAfterS !== undefined && { details: { retryAfterSeconds: retryAfterS } };
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message,
      reason,
      code,
      ...details,
    };
  }
}

export const CONFLICT_MESSAGE =
  'the object has been modified; please apply your changes to the latest version and try again';
