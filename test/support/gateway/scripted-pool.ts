import { Worker } from 'bullmq';
import { Redis } from 'ioredis';
import {
  hostKey,
  membersKey,
  modelsKey,
  QUEUE_PREFIX,
  requestQueueName,
  TOKEN_STREAM_FIELD,
  TOKEN_STREAM_TTL_S,
  tokenStreamKey,
} from '../../../shared/protocol/keys.ts';
import type { HostRecord, InstanceState, ModelCard } from '../../../shared/protocol/member.ts';
import type { SequenceJob, SequenceOutcome } from '../../../shared/protocol/request.ts';
import { ringMessage } from '../../../shared/protocol/ring.ts';
import type { TokenEvent } from '../../../shared/protocol/token-event.ts';

/** Long enough for any test, so that a scripted host needs no heartbeat. */
const HOST_LIFE_S = 600;

/** Writes events to the job's token stream. */
export type Emit = (...events: TokenEvent[]) => Promise<void>;
/** What the pool does with one job. */
export type Script = (job: SequenceJob, emit: Emit) => Promise<void>;

export interface ScriptedPool {
  /** Jobs taken so far, oldest first. */
  readonly jobs: readonly SequenceJob[];
  /** Sets what happens to jobs from now on. */
  readonly play: (script: Script) => void;
  readonly close: () => Promise<void>;
}

export const modelCard = (id: string): ModelCard => ({
  id,
  created: 1_700_000_000,
  contextLength: 512,
  vocabularySize: 4_096,
});

export const hostRecord = (model: string, host: string, state: InstanceState): HostRecord => ({
  host,
  role: 'both',
  model,
  weightForm: 'f32',
  process: 1,
  startedAtMs: 0,
  heartbeatAtMs: 0,
  attention: [
    {
      id: `${host}-a0`,
      state,
      slots: 8,
      slotsInUse: 0,
      waiting: 0,
      prefixCache: null,
      steps: 0,
      phasesMs: {},
    },
  ],
  experts: [
    { id: 0, state, slots: 8, layerSteps: 0, meanActivated: 0, maxActivated: 0, groups: 0, groupsMs: 0 },
  ],
  traffic: [],
  exchange: null,
  address: null,
  sizing: null,
});

/** Announces a model with one host. */
export async function announce(
  redis: Redis,
  model: string,
  state: InstanceState,
  host = 'host',
): Promise<void> {
  await redis.hset(modelsKey, model, JSON.stringify(modelCard(model)));
  await redis.sadd(membersKey(model), host);
  await redis.set(hostKey(model, host), JSON.stringify(hostRecord(model, host, state)), 'EX', HOST_LIFE_S);
}

/** Events of an answer that consists of `texts`, one per token. */
export const answer = (
  choice: number,
  texts: readonly string[],
  promptTokens = 3,
  cachedTokens = 0,
): TokenEvent[] => [
  { kind: 'started', choice, promptTokens },
  ...texts.map(
    (text, position): TokenEvent => ({ kind: 'token', choice, position, id: 10 + position, text }),
  ),
  {
    kind: 'finished',
    choice,
    reason: 'stop',
    text: '',
    promptTokens,
    cachedTokens,
    completionTokens: texts.length,
  },
];

/** A model whose pool does what the test says, at the real queue and the real streams. */
export async function startScriptedPool(url: string, model: string): Promise<ScriptedPool> {
  const redis = new Redis(url, { maxRetriesPerRequest: null });
  const jobs: SequenceJob[] = [];
  let script: Script = (job, emit) => emit(...answer(job.choice, ['Hello', ' world']));
  const worker = new Worker<SequenceJob, SequenceOutcome>(
    requestQueueName(model),
    async ({ data }) => {
      jobs.push(data);
      const key = tokenStreamKey(data.requestId);
      await script(data, async (...events) => {
        const writes = redis.multi();
        const texts = events.map((event) => JSON.stringify(event));
        for (const text of texts) writes.xadd(key, '*', TOKEN_STREAM_FIELD, text);
        writes.expire(key, TOKEN_STREAM_TTL_S);
        if (data.doorbell !== undefined) {
          const ring = { requestId: data.requestId, beforeId: '', events: texts };
          writes.publish(data.doorbell, ringMessage([ring]));
        }
        await writes.exec();
      });
      return { state: 'finished', reason: 'stop', promptTokens: 0, completionTokens: 0 };
    },
    { connection: redis, prefix: QUEUE_PREFIX, concurrency: 16 },
  );
  worker.on('error', () => {});
  await worker.waitUntilReady();
  await announce(redis, model, 'ready');
  return {
    jobs,
    play(next) {
      script = next;
    },
    async close() {
      await worker.close(true);
      redis.disconnect();
    },
  };
}
