import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { TokenEvent } from '../../../shared/protocol/token-event.ts';
import { answer } from '../../../test/support/gateway/scripted-pool.ts';
import { type AnswerEvent, createJournalReader } from './journal.ts';

/** Journals of some choices, interleaved, with parts told again as a host that takes over may do. */
const retoldJournal = fc
  .record({
    lengths: fc.array(fc.nat(6), { minLength: 1, maxLength: 4 }),
    // For each step: whose event comes next, and how far back that choice's journal is told again before it.
    steps: fc.array(fc.tuple(fc.nat(3), fc.nat(4)), { maxLength: 60 }),
  })
  .map(({ lengths, steps }) => {
    const journals = lengths.map((length, choice) =>
      answer(
        choice,
        Array.from({ length }, (_, position) => `${choice}.${position} `),
      ),
    );
    const told = journals.map(() => 0);
    const events: TokenEvent[] = [];
    const tell = (choice: number, back: number) => {
      const from = Math.max(0, told[choice] - back);
      events.push(...journals[choice].slice(from, told[choice] + 1));
      told[choice] = Math.min(told[choice] + 1, journals[choice].length);
    };
    for (const [choice, back] of steps) tell(choice % journals.length, back);
    for (const choice of journals.keys()) while (told[choice] < journals[choice].length) tell(choice, 0);
    return { journals, events };
  });

describe('the journal reader', () => {
  test('passes on every event of every choice once and in order, however often it is told and however it is cut', () => {
    fc.assert(
      fc.property(retoldJournal, fc.integer({ min: 1, max: 7 }), ({ journals, events }, size) => {
        const reader = createJournalReader(journals.length, 1);
        const passed: AnswerEvent[] = [];
        for (let at = 0; at < events.length; at += size) {
          passed.push(...reader.read(events.slice(at, at + size)).events);
        }
        expect(reader.done()).toBe(true);
        for (const [choice, journal] of journals.entries()) {
          expect(passed.filter((event) => event.choice === choice)).toEqual(journal);
        }
        const tokens = journals.reduce((sum, journal) => sum + journal.length - 2, 0);
        expect(reader.usage()).toMatchObject({
          prompt_tokens: 3 * journals.length,
          completion_tokens: tokens,
        });
      }),
    );
  });

  test('counts of a prompt the tokens that none of its choices computed as cached', () => {
    const reader = createJournalReader(4, 2);
    const cached = [64, 0, 128, 192];
    reader.read(
      cached.flatMap((tokens, choice) => answer(choice, ['a'], 200 + Math.floor(choice / 2), tokens)),
    );
    expect(reader.usage()).toEqual({
      prompt_tokens: 401,
      completion_tokens: 4,
      total_tokens: 405,
      prompt_tokens_details: { cached_tokens: 128 },
    });
  });

  test('tells at any time what was used so far', () => {
    const reader = createJournalReader(4, 2);
    const used = () => {
      const { prompt_tokens, completion_tokens, total_tokens } = reader.usage();
      expect(total_tokens).toBe(prompt_tokens + completion_tokens);
      return [prompt_tokens, completion_tokens];
    };
    expect(used()).toEqual([0, 0]);
    const [, first, second] = [0, 1, 2].map((choice) => answer(choice, ['a', 'b'], 10 + choice));
    reader.read(first.slice(0, 2));
    expect(used()).toEqual([11, 1]);
    reader.read([...first.slice(0, 3), ...second.slice(0, 1)]);
    expect(used()).toEqual([11 + 12, 2]);
    reader.read([...first, ...second]);
    expect(used()).toEqual([11 + 12, 4]);
  });

  test('refuses a journal that lacks a token', () => {
    const [started, , second] = answer(0, ['a', 'b']);
    expect(() => createJournalReader(1, 1).read([started, second])).toThrow(/lacks token 0.*goes on at 1/);
  });

  test('refuses an event of a choice that does not exist', () => {
    expect(() => createJournalReader(1, 1).read(answer(1, []))).toThrow(/choice 1 of 1/);
  });

  test('tells of a failure after what came before it, and ignores one of a choice that has finished', () => {
    const error = { status: 500, type: 'server_error', code: null, param: null, message: 'lost' };
    const reader = createJournalReader(2, 1);
    const failed: TokenEvent = { kind: 'failed', choice: 0, error };
    const [started] = answer(1, []);
    expect(reader.read([...answer(0, ['a']), failed, started])).toMatchObject({ failure: null });
    expect(reader.read([{ ...failed, choice: 1 }])).toEqual({ events: [], failure: error });
    expect(reader.done()).toBe(false);
  });

  test('takes a sequence that someone cancelled for a failure, not for an answer', () => {
    const [started] = answer(0, []);
    const progress = createJournalReader(1, 1).read([
      started,
      {
        kind: 'finished',
        choice: 0,
        reason: 'cancelled',
        text: '',
        promptTokens: 1,
        cachedTokens: 0,
        completionTokens: 0,
      },
    ]);
    expect(progress).toMatchObject({ events: [started], failure: { status: 503, code: 'cancelled' } });
  });
});
