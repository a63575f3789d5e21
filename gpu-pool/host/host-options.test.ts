import { expect, it } from 'vitest';
import { hostOptions } from '../../test/support/test-host.ts';
import { checkHostOptions, DEFAULT_LIMITS, EXCHANGE_ROW_LIMIT, type HostOptions } from './host-options.ts';

const attention = (overrides: Partial<HostOptions>): HostOptions =>
  hostOptions('redis://127.0.0.1:6379', { role: 'attention', poolExpertInstances: 2, ...overrides });

it.each<[string, HostOptions, RegExp]>([
  ['no attention instance', attention({ attentionInstances: 0 }), /--attention is 0/],
  [
    'instances for the cores where another role may have them',
    attention({ attentionInstances: 'auto' }),
    /--attention is auto/,
  ],
  ['no expert instance to wait for', attention({ poolExpertInstances: 0 }), /--expert-instances is 0/],
  [
    'more instances than can step together',
    attention({ attentionInstances: 32, limits: { ...DEFAULT_LIMITS, tokenBudget: 8 } }),
    /--attention is 32: at most 31/,
  ],
  ['more rows than expert hosts take', attention({ attentionInstances: 5 }), /2560 rows per step.*take 512/],
  [
    'a monolith of two',
    { ...attention({ attentionInstances: 2 }), role: 'both', monolith: true },
    /--monolith/,
  ],
])('refuses %s, naming the flag', (_, options, message) => {
  expect(() => checkHostOptions(options)).toThrow(message);
});

it('accepts as many rows as expert hosts take', () => {
  const limits = { ...DEFAULT_LIMITS, tokenBudget: EXCHANGE_ROW_LIMIT / 4 };
  expect(() => checkHostOptions(attention({ attentionInstances: 4, limits }))).not.toThrow();
});
