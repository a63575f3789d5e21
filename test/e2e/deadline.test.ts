import { expect, test, vi } from 'vitest';
import { createDispatcher } from '../../functions/dispatcher/dispatcher.ts';
import { poolPace, predictFirstToken } from '../../shared/admission/predict-first-token.ts';
import type { SequenceJob } from '../../shared/protocol/request.ts';
import { readJson, readSse } from '../support/gateway/bed.ts';
import { GREEDY } from '../support/generate.ts';
import { useServedModel } from '../support/served-model.ts';
import { DICTIONARY_MODEL } from '../support/test-host.ts';

const served = useServedModel();

/** Asks for more than the model can write within any timeout of these tests. */
const ask = (timeout: string, fields: object = {}) =>
  fetch(`${served.address}/v1/completions`, {
    method: 'POST',
    headers: { 'x-request-timeout': timeout },
    body: JSON.stringify({
      model: DICTIONARY_MODEL,
      prompt: 'a harbor',
      max_tokens: 480,
      n: 8,
      ignore_eos: true,
      ...fields,
    }),
  });
const untilIdle = () =>
  vi.waitFor(() => expect(served.host.record().attention[0]!.slotsInUse).toBe(0), { timeout: 5_000 });

test('a request that is over its time is answered with 504, and its sequences leave the pool', async () => {
  const response = await ask('100ms');
  expect(response.status).toBe(504);
  expect(await readJson(response)).toMatchObject({ error: { code: 'deadline_exceeded' } });
  await untilIdle();
});

test('a stream that is over its time ends with the error, and its sequences leave the pool', async () => {
  const response = await ask('400ms', { stream: true });
  expect(response.status).toBe(200);
  const { objects, done } = await readSse(response);
  expect(done).toBe(false);
  expect(objects.length).toBeGreaterThan(2);
  expect(objects.at(-1)).toMatchObject({ error: { code: 'deadline_exceeded' } });
  await untilIdle();
});

test('a host does not compute what is late when it takes it', async () => {
  const dispatcher = createDispatcher(served.host.redis);
  const job: SequenceJob = {
    requestId: 'late',
    model: DICTIONARY_MODEL,
    choice: 0,
    prompt: { kind: 'text', text: 'a harbor' },
    sampling: GREEDY,
    maxTokens: 4,
    acceptedAtMs: Date.now() - 2_000,
    deadlineAtMs: Date.now() - 1,
  };
  await dispatcher.dispatch([job]);
  const events = await vi.waitFor(
    async () => {
      const told = await dispatcher.told(job.requestId);
      expect(told).not.toEqual([]);
      return told;
    },
    { timeout: 5_000 },
  );
  await dispatcher.close();
  expect(events).toEqual([
    { kind: 'failed', choice: 0, error: expect.objectContaining({ status: 504, code: 'deadline_exceeded' }) },
  ]);
});

test('a host tells its pace, by which an idle pool predicts a first token soon', async () => {
  expect((await ask('30', { max_tokens: 8, n: 2 })).status).toBe(200);
  const pace = poolPace([served.host.record()]);
  expect(pace).toMatchObject({ instances: 1, promptRowsPerStep: 128, pendingPromptTokens: 0 });
  expect(pace!.stepMs).toBeGreaterThan(0);
  expect(pace!.promptTokenMs).toBeGreaterThan(0);
  expect(pace!.sequenceMs).toBeGreaterThan(0);
  const predicted = predictFirstToken(pace!, { promptTokens: 8, heldSequences: 0, sequencesBefore: 0 });
  expect(predicted!.queueMs).toBe(0);
  expect(predicted!.firstTokenMs).toBeGreaterThan(0);
  expect(predicted!.firstTokenMs).toBeLessThan(2_000);
});
