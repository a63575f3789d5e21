import type { AccessKey } from './access-key.ts';

/** A key that may do everything, but for what the test says. */
export const accessKey = (fields: Partial<AccessKey> = {}): AccessKey => ({
  id: '0123456789abcdef',
  digest: '00'.repeat(32),
  name: 'test',
  class: 'api',
  models: null,
  requestsPerMinute: null,
  tokensPerMinute: null,
  createdAtMs: 0,
  revokedAtMs: null,
  ...fields,
});
