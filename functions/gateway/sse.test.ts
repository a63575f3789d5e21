import { expect, test } from 'vitest';
import { ClientGoneError } from './errors.ts';
import { createJournalReader } from './generation/journal.ts';
import { createChatFormat } from './responses/chat.ts';
import { type EventBatches, sseBody } from './sse.ts';

/** A body that has told one event, whose generation takes until `release` to end. */
async function openBody() {
  const aborting = new AbortController();
  const { promise: mayEnd, resolve: release } = Promise.withResolvers<void>();
  async function* generate(): EventBatches {
    try {
      yield [];
    } finally {
      await mayEnd;
    }
  }
  const batches = generate();
  await batches.next();
  const head = { requestId: 'r', created: 0, model: 'm', choices: 1, includeUsage: false, logprobs: false };
  const started = { kind: 'started', choice: 0, promptTokens: 1 } as const;
  const body = sseBody([started], batches, aborting.signal, {
    journal: createJournalReader(1, 1),
    format: createChatFormat({ ...head, echo: {}, callable: [] }),
    report: (error) => {
      throw error;
    },
  });
  // It is asked for the first event at once, and for no more until that is taken.
  await new Promise(setImmediate);
  return { aborting, release, reader: body.getReader() };
}

/** Whether `promise` is settled by now. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  promise
    .catch(() => {})
    .finally(() => {
      settled = true;
    });
  await new Promise(setImmediate);
  return settled;
}

test('a body whose client has gone ends with its generation', async () => {
  const { aborting, release, reader } = await openBody();
  aborting.abort(new ClientGoneError());
  expect((await reader.read()).done).toBe(false);
  const last = reader.read();
  expect(await isSettled(last)).toBe(false);
  release();
  expect((await last).done).toBe(true);
});

test('a body that takes too long fails with its generation', async () => {
  const { aborting, release, reader } = await openBody();
  aborting.abort(new Error('Too late'));
  expect(await isSettled(reader.closed)).toBe(false);
  release();
  await expect(reader.closed).rejects.toThrow('Too late');
});

test('a body that is cancelled while it is aborted ends once', async () => {
  const { aborting, release, reader } = await openBody();
  aborting.abort(new ClientGoneError());
  const cancelled = reader.cancel();
  expect(await isSettled(cancelled)).toBe(false);
  release();
  await cancelled;
  expect((await reader.read()).done).toBe(true);
});
