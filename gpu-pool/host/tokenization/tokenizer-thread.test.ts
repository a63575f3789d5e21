import { afterEach, expect, test } from 'vitest';
import type { TokenizationQuestion } from '../../../shared/protocol/tokenization.ts';
import { DICTIONARY_FOLDER } from '../../../test/support/test-host.ts';
import { TokenizerThread } from './tokenizer-thread.ts';

const QUESTION: TokenizationQuestion = { kind: 'detokenize', ids: [4094] };

let thread: TokenizerThread;
let lines: string[];
const open = (folder: string): void => {
  lines = [];
  thread = new TokenizerThread({ folder, vocabularySize: 4096 }, (line) => lines.push(line));
};
afterEach(() => thread.close());

const ask = async () => JSON.parse(await thread.answer(QUESTION));

test('answers one question after the other', async () => {
  open(DICTIONARY_FOLDER);
  for (const _ of [1, 2, 3]) expect(await ask()).toEqual({ kind: 'detokenized', text: '<|im_start|>' });
  expect(lines).toEqual([]);
});

test('tells that the question may be sent again where its thread is lost, each time, and logs why', async () => {
  open('/nowhere');
  for (const times of [1, 2]) {
    expect(await ask()).toMatchObject({ kind: 'failed', error: { status: 503, code: 'pool_unavailable' } });
    expect(lines).toHaveLength(times);
    expect(lines[0]).toContain('/nowhere');
  }
});

test('ends at once, and answers nothing any more', async () => {
  open(DICTIONARY_FOLDER);
  const asked = ask();
  await thread.close();
  expect(await asked).toMatchObject({ kind: 'failed', error: { status: 503 } });
  expect(await ask()).toMatchObject({ kind: 'failed', error: { status: 503 } });
});
