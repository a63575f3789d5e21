import { expect, it } from 'vitest';
import { DEFAULT_GATEWAY_LIMITS } from '../gateway/limits.ts';
import { readSettings, type WorkerBindings } from './settings.ts';

const REDIS_URL = 'rediss://user:hunter2@redis.example:6380';

it('a Redis is enough, and lets nobody in without a key', () => {
  expect(readSettings({ REDIS_URL })).toMatchObject({
    redisUrl: REDIS_URL,
    corsOrigins: [],
    allowAnonymous: false,
    logLevel: 'warn',
    limits: { ...DEFAULT_GATEWAY_LIMITS, openRequests: 256 },
  });
});

it('variables may be texts, or numbers and booleans of JSON', () => {
  const settings = readSettings({
    REDIS_URL,
    CORS_ORIGINS: 'https://chat.example, http://localhost:3000',
    ALLOW_ANONYMOUS: true,
    LOG_LEVEL: 'info',
    MAX_OPEN_REQUESTS: 7,
    OVERALL_MS: '90000',
    BATCH_SLICE_MS: 1_000,
  });
  expect(settings).toMatchObject({
    corsOrigins: ['https://chat.example', 'http://localhost:3000'],
    allowAnonymous: true,
    logLevel: 'info',
    limits: { ...DEFAULT_GATEWAY_LIMITS, openRequests: 7, overallMs: 90_000 },
    batchSliceMs: 1_000,
  });
});

it.each<[string, WorkerBindings]>([
  ['REDIS_URL is not set', { REDIS_URL: '' }],
  ['REDIS_URL is not understood', { REDIS_URL: 'unix:///run/hunter2.sock' }],
  ['CORS_ORIGINS holds "https://chat.example/"', { CORS_ORIGINS: 'https://chat.example/' }],
  ['CORS_ORIGINS holds "*"', { CORS_ORIGINS: '*' }],
  ['ALLOW_ANONYMOUS is "yes"', { ALLOW_ANONYMOUS: 'yes' }],
  ['LOG_LEVEL is "debug"', { LOG_LEVEL: 'debug' }],
  ['MAX_BODY_BYTES is "0"', { MAX_BODY_BYTES: 0 }],
  ['SILENCE_MS is "1e3"', { SILENCE_MS: '1e3' }],
  ['BATCH_SLICE_MS is "2147483648"', { BATCH_SLICE_MS: 2 ** 31 }],
])('%s: it says so, without a password', (message, wrong) => {
  const read = () => readSettings({ REDIS_URL, ...wrong });
  expect(read).toThrow(message);
  expect(read).not.toThrow('hunter2');
});
