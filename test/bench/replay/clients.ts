import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Dispatcher } from '../../../functions/dispatcher/dispatcher.ts';
import { GREEDY } from '../../support/generate.ts';
import { randomTokens } from '../peer/measure/prompts.ts';
import type { Arrival } from './day.ts';

const PROMPT_TOKENS = 24;
/** A request that waits for longer has failed, and its client hangs up. */
const TIMEOUTS = { queueWaitMs: 15_000, silenceMs: 15_000, overallMs: 60_000 };

/** When a client read the tokens of its answer, in ms since the day began. */
export interface Answered {
  readonly sentAtMs: number;
  readonly readAtMs: readonly number[];
  readonly askedTokens: number;
  readonly failed: boolean;
}

/** Sends every request at its time, whether or not earlier ones are answered, and reads all answers to their ends. */
export async function sendDay(
  dispatcher: Dispatcher,
  model: string,
  vocabularySize: number,
  arrivals: readonly Arrival[],
): Promise<Answered[]> {
  const beganAtMs = performance.now();
  const nowMs = (): number => performance.now() - beganAtMs;
  const answers: Promise<Answered>[] = [];
  for (const arrival of arrivals) {
    const waitMs = arrival.atMs - nowMs();
    if (waitMs > 0) await sleep(waitMs);
    answers.push(send(dispatcher, model, vocabularySize, arrival, nowMs));
  }
  return Promise.all(answers);
}

async function send(
  dispatcher: Dispatcher,
  model: string,
  vocabularySize: number,
  { seed, answerTokens }: Arrival,
  nowMs: () => number,
): Promise<Answered> {
  const sentAtMs = nowMs();
  const readAtMs: number[] = [];
  const answered = { sentAtMs, readAtMs, askedTokens: answerTokens };
  const requestId = randomUUID();
  const [ids] = randomTokens(vocabularySize, 1, PROMPT_TOKENS, seed);
  try {
    await dispatcher.dispatch([
      {
        requestId,
        model,
        choice: 0,
        prompt: { kind: 'tokens', ids: ids! },
        sampling: { ...GREEDY, temperature: 1, seed, ignoreEndOfSequence: true },
        maxTokens: answerTokens,
        acceptedAtMs: Date.now(),
      },
    ]);
    const { signal } = new AbortController();
    for await (const events of dispatcher.readEvents(requestId, { signal, timeouts: TIMEOUTS })) {
      for (const event of events) {
        if (event.kind === 'token') readAtMs.push(nowMs());
        if (event.kind === 'failed') return { ...answered, failed: true };
        if (event.kind !== 'finished') continue;
        await dispatcher.forget(requestId);
        return { ...answered, failed: readAtMs.length !== answerTokens };
      }
    }
  } catch {
    // It counts as failed, as what is told to have failed does; nobody waits for it any more.
    await dispatcher.cancel(requestId, model).catch(() => {});
  }
  return { ...answered, failed: true };
}
