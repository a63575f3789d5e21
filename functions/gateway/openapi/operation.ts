import type { z } from 'zod';
import { REQUEST_TIMEOUT_HEADER } from '../request-timeout.ts';
import type { SchemaName } from './schemas.ts';

/** Of which class a key must be, where any key exists. */
export type OperationAccess = 'none' | 'api' | 'admin';

/** What a body is. */
export type Content =
  | { readonly kind: 'json'; readonly schema: SchemaName; readonly example?: object }
  /** Fields of a form, by name; `binary` ones are files. */
  | { readonly kind: 'form'; readonly fields: Readonly<Record<string, { text: string; binary?: boolean }>> }
  | { readonly kind: 'text'; readonly mediaType: string };

/** Statuses other than success, whose bodies are error objects. */
export const ERRORS = {
  400: 'The request is wrong; `param` names the field.',
  401: 'The key is missing, wrong or revoked.',
  403: 'The key is of another class.',
  404: 'There is no such thing, or the key does not allow it.',
  409: 'Its state does not allow this.',
  413: 'The body is too large.',
  429: 'A limit of the key is reached; `Retry-After` tells when to come again.',
  500: 'A defect of the server.',
  501: 'This gateway keeps no files.',
  503: 'It cannot be served now; `Retry-After` tells when to come again.',
  504: 'It took longer than any request may.',
} as const;
export type ErrorStatus = keyof typeof ERRORS;

/** One thing that the API does, at one or several addresses. */
export interface Operation {
  readonly id: string;
  readonly method: 'get' | 'post' | 'delete';
  /** Addresses, the usual one first; parameters stand in braces. */
  readonly paths: readonly string[];
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  readonly access: OperationAccess;
  /** Headers that change what is done: name and description. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly query?: z.ZodObject;
  readonly body?: Content;
  /** Absent: it never succeeds. */
  readonly answer?: { readonly description: string; readonly content: Content; readonly streamed?: string };
  readonly errors: readonly ErrorStatus[];
}

/** Addresses below `/v1`, and below the address of one model, which then need not stand in the body. */
export const apiPaths = (path: string): string[] => [`/v1${path}`, `/models/{model}/v1${path}`];

/** Of requests that may take a while. */
export const TIMEOUT_HEADER = {
  [REQUEST_TIMEOUT_HEADER]: 'Longest time that the request may take: seconds, or milliseconds as `1500ms`.',
};

/** What may become of any request that needs a key of the API. */
export const KEY_ERRORS: readonly ErrorStatus[] = [401, 403, 500, 503];
