import { describe, expect, test } from 'vitest';
import type { AttentionInstanceRecord, HostRecord, PaceRecord } from '../protocol/member.ts';
import { type Arrival, type PoolPace, poolPace, predictFirstToken } from './predict-first-token.ts';

/** Two instances, of four slots each: a slot becomes free every 500 ms. */
const pace: PoolPace = {
  instances: 2,
  slots: 8,
  stepMs: 10,
  promptTokenMs: 1,
  promptTokens: 50,
  promptRowsPerStep: 100,
  sequenceMs: 4_000,
  pendingPromptTokens: 0,
};
const alone: Arrival = { promptTokens: 20, heldSequences: 0, sequencesBefore: 0 };

describe('the first token of a sequence', () => {
  test('comes after its own prompt and a step, where nobody is before it', () => {
    const parts = { queueMs: 0, promptsBeforeMs: 0, promptMs: 30 };
    expect(predictFirstToken(pace, alone)).toEqual({ ...parts, firstTokenMs: 30 });
  });

  test('waits for a step more with each chunk of a long prompt', () => {
    expect(predictFirstToken(pace, { ...alone, promptTokens: 250 })).toMatchObject({ promptMs: 250 + 30 });
  });

  test('waits for the prompts before its own, of which each instance has its share', () => {
    const busy = { ...pace, pendingPromptTokens: 100 };
    const arrival = { ...alone, heldSequences: 2, sequencesBefore: 2 };
    expect(predictFirstToken(busy, arrival)).toMatchObject({ queueMs: 0, promptsBeforeMs: 100 + 10 });
  });

  test('waits for a slot as long as those before it and itself need', () => {
    const last = { ...alone, heldSequences: 5, sequencesBefore: 2 };
    expect(predictFirstToken(pace, last)).toMatchObject({ queueMs: 0 });
    expect(predictFirstToken(pace, { ...last, sequencesBefore: 3 })).toMatchObject({ queueMs: 500 });
    const many = predictFirstToken(pace, { ...last, heldSequences: 8, sequencesBefore: 9 });
    // Prompts before its own are computed while it waits.
    expect(many).toMatchObject({ queueMs: 5_000, promptsBeforeMs: 0, firstTokenMs: 5_030 });
  });

  test('is unknown where a slot must become free, and none has ever', () => {
    const young = { ...pace, sequenceMs: null };
    expect(predictFirstToken(young, { ...alone, heldSequences: 7 })).not.toBeNull();
    expect(predictFirstToken(young, { ...alone, heldSequences: 8 })).toBeNull();
  });

  test('is never predicted earlier for more that wait', () => {
    const at = (sequencesBefore: number) =>
      predictFirstToken(pace, { ...alone, sequencesBefore })!.firstTokenMs;
    for (let count = 0; count < 40; count++) expect(at(count + 1)).toBeGreaterThanOrEqual(at(count));
  });
});

describe('the pace of a pool', () => {
  const record: PaceRecord = {
    stepMs: 10,
    promptTokenMs: 1,
    promptRowsPerStep: 100,
    promptTokens: 50,
    sequenceMs: null,
    pendingPromptTokens: 7,
    contextTokens: 0,
    generatedTokens: 0,
  };
  const host = (...attention: Partial<AttentionInstanceRecord>[]): HostRecord => ({
    host: 'h',
    role: 'both',
    model: 'm',
    weightForm: 'f32',
    process: 1,
    startedAtMs: 0,
    heartbeatAtMs: 0,
    attention: attention.map((fields, index) => ({
      id: String(index),
      state: 'ready',
      slots: 4,
      slotsInUse: 0,
      waiting: 0,
      prefixCache: null,
      steps: 0,
      phasesMs: {},
      ...fields,
    })),
    experts: [],
    traffic: [],
    exchange: null,
    address: null,
    sizing: null,
  });

  test('is unknown until an instance has computed something', () => {
    expect(poolPace([host({}), host()])).toBeNull();
  });

  test('is that of all instances that are ready, also those that have told none yet', () => {
    const slow = { ...record, stepMs: 30, sequenceMs: 900 };
    const hosts = [host({ pace: record }, {}), host({ pace: slow }, { pace: slow, state: 'draining' })];
    expect(poolPace(hosts)).toEqual({
      instances: 3,
      slots: 12,
      stepMs: 20,
      promptTokenMs: 1,
      promptTokens: 50,
      promptRowsPerStep: 100,
      sequenceMs: 900,
      pendingPromptTokens: 14,
    });
  });
});
