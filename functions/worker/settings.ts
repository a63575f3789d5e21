import type { R2Bucket } from '@cloudflare/workers-types';
import { JanusError } from '../../shared/errors/janus-error.ts';
import { DEFAULT_SLICE_MS } from '../batches/worker-batches.ts';
import { DEFAULT_GATEWAY_LIMITS, type GatewayLimits } from '../gateway/limits.ts';
import { DEFAULT_LOG_LEVEL, LOG_LEVELS, type LogLevel } from '../gateway/log-level.ts';

/** An isolate has 128 MiB for all of its requests. */
const OPEN_REQUESTS = 256;
const MOST_ORIGINS = 64;
/** Longest delay of a timer, in milliseconds; no other limit needs to be larger. */
const LARGEST_LIMIT = 2 ** 31 - 1;

/** Variables that set limits, and the limits that they set. */
const LIMIT_VARIABLES = {
  MAX_BODY_BYTES: 'bodyBytes',
  MAX_PROMPT_CHARACTERS: 'promptCharacters',
  MAX_OPEN_REQUESTS: 'openRequests',
  QUEUE_WAIT_MS: 'queueWaitMs',
  SILENCE_MS: 'silenceMs',
  OVERALL_MS: 'overallMs',
  MAX_FIRST_TOKEN_MS: 'firstTokenMs',
  RESUME_GRACE_MS: 'resumeGraceMs',
  MAX_RESUMABLE_STREAMS: 'resumableStreams',
} as const satisfies Readonly<Record<string, keyof GatewayLimits>>;

type LimitVariable = keyof typeof LIMIT_VARIABLES;

/** Texts, or what JSON has in their place, since a configuration file may hold either. */
type Variable = string | number | boolean;

/** What `infra/wrangler.jsonc` and the secrets bind. Limits that are not set are those of a gateway on Node. */
export interface WorkerBindings extends Readonly<Partial<Record<LimitVariable, Variable>>> {
  /** Secret: `redis://…`, or `rediss://…` for TLS. */
  readonly REDIS_URL?: Variable;
  /** Origins whose scripts may read answers, separated by commas. */
  readonly CORS_ORIGINS?: Variable;
  /** `true` lets everybody in while no API key exists; without it nobody is let in then. */
  readonly ALLOW_ANONYMOUS?: Variable;
  readonly LOG_LEVEL?: Variable;
  /** How long a cron trigger runs batches, in milliseconds. */
  readonly BATCH_SLICE_MS?: Variable;
  /** Where files are kept; without it there are neither files nor batches. */
  readonly FILES?: R2Bucket;
}

export interface WorkerSettings {
  readonly redisUrl: string;
  readonly corsOrigins: readonly string[];
  readonly allowAnonymous: boolean;
  readonly logLevel: LogLevel;
  readonly limits: GatewayLimits;
  readonly batchSliceMs: number;
}

type VariableName = Exclude<keyof WorkerBindings, 'FILES'>;

const textOf = (bindings: WorkerBindings, name: VariableName): string => String(bindings[name] ?? '').trim();

function redisUrlOf(bindings: WorkerBindings): string {
  const url = textOf(bindings, 'REDIS_URL');
  if (url === '') {
    throw new JanusError('REDIS_URL is not set: set it with `npx wrangler secret put REDIS_URL`');
  }
  // It may hold a password, and is not repeated.
  if (!/^rediss?:\/\//.test(url)) {
    throw new JanusError('REDIS_URL is not understood: write it as redis://host:port, rediss:// for TLS');
  }
  return url;
}

function originsOf(bindings: WorkerBindings): string[] {
  const listed = textOf(bindings, 'CORS_ORIGINS').split(',');
  const origins = listed.map((origin) => origin.trim()).filter((origin) => origin !== '');
  const wrong = origins.find((origin) => URL.parse(origin)?.origin !== origin);
  if (wrong !== undefined) {
    throw new JanusError(
      `CORS_ORIGINS holds ${JSON.stringify(wrong)}: give origins as https://chat.example, separated by commas`,
    );
  }
  if (origins.length > MOST_ORIGINS) throw new JanusError(`CORS_ORIGINS holds more than ${MOST_ORIGINS}`);
  return origins;
}

function anonymityOf(bindings: WorkerBindings): boolean {
  const text = textOf(bindings, 'ALLOW_ANONYMOUS') || 'false';
  if (text === 'true' || text === 'false') return text === 'true';
  throw new JanusError(`ALLOW_ANONYMOUS is ${JSON.stringify(text)}: give true or false`);
}

function logLevelOf(bindings: WorkerBindings): LogLevel {
  const text = textOf(bindings, 'LOG_LEVEL') || DEFAULT_LOG_LEVEL;
  const level = LOG_LEVELS.find((known) => known === text);
  if (level !== undefined) return level;
  throw new JanusError(`LOG_LEVEL is ${JSON.stringify(text)}: give one of ${LOG_LEVELS.join(', ')}`);
}

function numberOf(bindings: WorkerBindings, name: VariableName, byDefault: number): number {
  const text = textOf(bindings, name);
  if (text === '') return byDefault;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= LARGEST_LIMIT) return value;
  throw new JanusError(`${name} is ${JSON.stringify(text)}: give a whole number from 1 to ${LARGEST_LIMIT}`);
}

function limitsOf(bindings: WorkerBindings): GatewayLimits {
  const limits = { ...DEFAULT_GATEWAY_LIMITS, openRequests: OPEN_REQUESTS };
  for (const name of Object.keys(LIMIT_VARIABLES) as LimitVariable[]) {
    const limit = LIMIT_VARIABLES[name];
    limits[limit] = numberOf(bindings, name, limits[limit]);
  }
  return limits;
}

/** @throws {JanusError} naming the variable that is missing or not understood */
export const readSettings = (bindings: WorkerBindings): WorkerSettings => ({
  redisUrl: redisUrlOf(bindings),
  corsOrigins: originsOf(bindings),
  allowAnonymous: anonymityOf(bindings),
  logLevel: logLevelOf(bindings),
  limits: limitsOf(bindings),
  batchSliceMs: numberOf(bindings, 'BATCH_SLICE_MS', DEFAULT_SLICE_MS),
});
