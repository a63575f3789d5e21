import type { AccessKey } from '../../../functions/gateway/access/access-key.ts';
import { formatTable } from '../table.ts';

const HEADER = [
  'id',
  'name',
  'class',
  'models',
  'requests/min',
  'tokens/min',
  'created (UTC)',
  'revoked (UTC)',
];
const NUMBER_COLUMNS = [4, 5];

/** A key as it may be shown: nothing of its secret, not even the digest. */
export type ShownKey = Omit<AccessKey, 'digest'>;

export const withoutDigest = ({ digest: _, ...shown }: AccessKey): ShownKey => shown;

/** Digits of an ISO date up to its minutes. */
const TO_MINUTES = 'YYYY-MM-DDTHH:MM'.length;

const moment = (atMs: number | null): string =>
  atMs === null ? '-' : new Date(atMs).toISOString().slice(0, TO_MINUTES);
const limit = (value: number | null): string => (value === null ? '-' : String(value));

/** A table with a line per key. */
export function formatKeys(keys: readonly ShownKey[]): string {
  if (keys.length === 0) return 'There is no API key.';
  const rows = keys.map((key) => [
    key.id,
    key.name,
    key.class,
    key.models === null ? 'all' : key.models.join(' '),
    limit(key.requestsPerMinute),
    limit(key.tokensPerMinute),
    moment(key.createdAtMs),
    moment(key.revokedAtMs),
  ]);
  return formatTable([HEADER, ...rows], NUMBER_COLUMNS).join('\n');
}
