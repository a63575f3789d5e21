/** What an API key opens: `api` OpenAI's routes, `admin` those that tell about the gateway itself. No key opens both. */
export type KeyClass = 'api' | 'admin';

/** An API key as Redis holds it: without its secret, of which there is a digest only. */
export interface AccessKey {
  /** Public; the part of the key by which it is found. */
  readonly id: string;
  /** SHA-256 of the secret, in hexadecimal. */
  readonly digest: string;
  /** What people call it. */
  readonly name: string;
  readonly class: KeyClass;
  /** Models that it may use; null: all. */
  readonly models: readonly string[] | null;
  /** null: no limit. */
  readonly requestsPerMinute: number | null;
  /** Tokens of prompts and answers together; null: no limit. */
  readonly tokensPerMinute: number | null;
  /** Whether its requests may ask to go before those of other keys; absent: they may not. */
  readonly goesFirst?: boolean;
  readonly createdAtMs: number;
  readonly revokedAtMs: number | null;
}

/** Field of the hash that a revocation sets. */
export const REVOKED_FIELD = 'revokedAtMs' satisfies keyof AccessKey;

/** Whether the sender of a request may use a model. @param key null where none is needed */
export const allowsModel = (key: AccessKey | null, model: string): boolean =>
  key === null || key.models === null || key.models.includes(model);

/** A new key as fields of a hash; what is null is left out. */
export function toFields(key: AccessKey): Record<string, string> {
  const {
    digest,
    name,
    class: keyClass,
    models,
    requestsPerMinute,
    tokensPerMinute,
    goesFirst,
    createdAtMs,
  } = key;
  return {
    digest,
    name,
    class: keyClass,
    createdAtMs: String(createdAtMs),
    ...(models === null ? {} : { models: JSON.stringify(models) }),
    ...(requestsPerMinute === null ? {} : { requestsPerMinute: String(requestsPerMinute) }),
    ...(tokensPerMinute === null ? {} : { tokensPerMinute: String(tokensPerMinute) }),
    ...(goesFirst && { goesFirst: 'true' }),
  };
}

const numberOrNull = (text: string | undefined): number | null => (text === undefined ? null : Number(text));

/** @returns undefined where the hash does not exist */
export function fromFields(id: string, fields: Partial<Record<string, string>>): AccessKey | undefined {
  const { digest, name, models } = fields;
  if (digest === undefined) return undefined;
  return {
    id,
    digest,
    name: name ?? '',
    class: fields.class as KeyClass,
    models: models === undefined ? null : (JSON.parse(models) as string[]),
    requestsPerMinute: numberOrNull(fields.requestsPerMinute),
    tokensPerMinute: numberOrNull(fields.tokensPerMinute),
    ...(fields.goesFirst === 'true' && { goesFirst: true }),
    createdAtMs: Number(fields.createdAtMs),
    revokedAtMs: numberOrNull(fields[REVOKED_FIELD]),
  };
}
