import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Tokenizer } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { tinyTokenizer } from '../../test/support/tiny-tokenizer.ts';
import { IncrementalDetokenizer, type TokenText } from './incremental-detokenizer.ts';
import { loadTokenizer } from './load-tokenizer.ts';

const shippedFolder = fileURLToPath(new URL('../models/dictionary-moe', import.meta.url));
const shipped = loadTokenizer(shippedFolder);

/** The tiny tokenizer with `<think>`, a token that is matched in the text but is a part of it. */
const tinyFolder = fs.mkdtempSync(join(tmpdir(), 'janus-detokenizer-'));
const thinkId = 259;
const think = { id: thinkId, content: '<think>', special: false, normalized: false };
const tinyJson = { ...tinyTokenizer, added_tokens: [...tinyTokenizer.added_tokens, think] };
fs.writeFileSync(join(tinyFolder, 'tokenizer.json'), JSON.stringify(tinyJson));
const tiny = loadTokenizer(tinyFolder);
afterAll(() => {
  fs.rmSync(tinyFolder, { recursive: true });
});

const readJson = (folder: string): object =>
  JSON.parse(fs.readFileSync(join(folder, 'tokenizer.json'), 'utf8')) as object;
/** Hugging Face's own decoder, as the yardstick. */
const reference = (library: Tokenizer, ids: number[]): string =>
  ids.length === 0
    ? ''
    : library.decode(ids, { skip_special_tokens: true, clean_up_tokenization_spaces: false });

function pushAll(tokens: TokenText, ids: readonly number[]): string[] {
  const detokenizer = new IncrementalDetokenizer(tokens);
  return [...ids.map((id) => detokenizer.push(id)), detokenizer.flush()];
}

const unicodeText = fc.string({
  unit: fc.oneof(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'binary' })),
});

describe('IncrementalDetokenizer', () => {
  it.each([
    ['the shipped model', shippedFolder, shipped, 4095],
    // Bytes from 0x70 on and the added tokens: most sequences hold cut characters.
    ['single bytes', tinyFolder, tiny, thinkId],
  ])('gives the text that decoding all tokens at once gives: %s', (_, folder, tokenizer, largest) => {
    const library = new Tokenizer(readJson(folder), {});
    const randomIds = fc.array(fc.integer({ min: largest === thinkId ? 0x70 : 0, max: largest }), {
      maxLength: 40,
    });
    fc.assert(
      fc.property(randomIds, (ids) => {
        const expected = reference(library, ids);
        expect(pushAll(tokenizer, ids).join('')).toBe(expected);
        expect(tokenizer.decode(ids)).toBe(expected);
      }),
      { numRuns: 2_000 },
    );
  });

  it.each([
    ['the shipped model', shipped],
    ['single bytes', tiny],
  ])('brings any text back without a U+FFFD in between: %s', (_, tokenizer) => {
    fc.assert(
      fc.property(unicodeText, (text) => {
        const parts = pushAll(tokenizer, tokenizer.encode(text));
        expect(parts.join('')).toBe(text);
        expect(parts.every((part) => part.isWellFormed())).toBe(true);
        expect(parts.at(-1)).toBe('');
      }),
      { numRuns: 1_000 },
    );
  });

  it('holds a character back until its last byte', () => {
    expect(pushAll(tiny, [...new TextEncoder().encode('é😀')])).toEqual(['', 'é', '', '', '', '😀', '']);
  });

  it('shows a character that stays incomplete as U+FFFD at the end', () => {
    expect(pushAll(tiny, [0x41, 0xf0, 0x9f])).toEqual(['A', '', '', '\ufffd']);
  });

  it('shows a broken character as soon as it cannot be completed any more', () => {
    expect(pushAll(tiny, [0xf0, 0x9f, 0x41])).toEqual(['', '', '\ufffdA', '']);
    expect(pushAll(tiny, [0xc3, thinkId])).toEqual(['', '\ufffd<think>', '']);
  });

  it('skips special tokens, even within a character', () => {
    expect(pushAll(tiny, [0xc3, 256, 0xa9])).toEqual(['', '', 'é', '']);
  });

  it('keeps a byte-order mark, which is a character of the text like any other', () => {
    expect(pushAll(tiny, [0xef, 0xbb, 0xbf, 0x41]).join('')).toBe('\ufeffA');
  });

  it('ignores ids without a token, such as the padding of an embedding table', () => {
    expect(pushAll(tiny, [0x41, 5_000, 0x42]).join('')).toBe('AB');
  });

  it('looks at each token once, however long the answer is', () => {
    let lookups = 0;
    const counting: TokenText = {
      tokenBytes: (id) => {
        lookups++;
        return tiny.tokenBytes(id);
      },
      isSpecial: () => false,
    };
    pushAll(counting, new Array<number>(1_000).fill(0x41));
    expect(lookups).toBe(1_000);
  });
});
