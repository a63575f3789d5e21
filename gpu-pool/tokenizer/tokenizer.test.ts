import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { JanusError } from '../../shared/errors/janus-error.ts';
import golden from '../../test/golden/dictionary-moe.json' with { type: 'json' };
import { tinyTokenizer, tinyTokenizerConfig } from '../../test/support/tiny-tokenizer.ts';
import { loadTokenizer } from './load-tokenizer.ts';

const shipped = loadTokenizer(fileURLToPath(new URL('../models/dictionary-moe', import.meta.url)), 4096);

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'janus-tokenizer-'));
});
afterEach(() => {
  fs.rmSync(folder, { recursive: true });
});

/** Loads a folder with the tiny tokenizer, some of its files' fields replaced. */
function loadTiny(config: object = {}, tokenizer: object = {}): ReturnType<typeof loadTokenizer> {
  fs.writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify({ ...tinyTokenizer, ...tokenizer }));
  fs.writeFileSync(
    join(folder, 'tokenizer_config.json'),
    JSON.stringify({ ...tinyTokenizerConfig, ...config }),
  );
  return loadTokenizer(folder);
}

const hello = [{ role: 'user', content: 'hello' }];
const prompted = { addGenerationPrompt: true };

function expectRefusal(action: () => unknown, message: RegExp): void {
  expect(action).toThrow(JanusError);
  expect(action).toThrow(message);
}

describe('the tokenizer of the shipped model', () => {
  it('gives the prompt ids of the reference implementation', () => {
    for (const { question, prompt_ids } of golden.cases) {
      const text = shipped.renderChat([{ role: 'user', content: question }], prompted);
      expect(shipped.encode(text)).toEqual(prompt_ids);
    }
  });

  it('gives the text of the reference implementation', () => {
    for (const { generated_ids, text } of golden.cases) expect(shipped.decode(generated_ids)).toBe(text);
  });

  it('shows special tokens on demand', () => {
    const ids = shipped.encode('<|im_start|>a<|im_end|>');
    expect(ids).toHaveLength(3);
    expect(shipped.decode(ids)).toBe('a');
    expect(shipped.decode(ids, { skipSpecialTokens: false })).toBe('<|im_start|>a<|im_end|>');
  });

  it('gives the exact bytes of every token', () => {
    const text = 'naïve 語 👩‍🚒\r\n\0';
    const bytes = shipped.encode(text).flatMap((id) => [...shipped.tokenBytes(id)]);
    expect(bytes).toEqual([...new TextEncoder().encode(text)]);
    expect(new TextDecoder().decode(shipped.tokenBytes(4095))).toBe('<|im_end|>');
    expect(shipped.vocabularySize).toBe(4096);
    expect(shipped.tokenBytes(4096)).toHaveLength(0);
    expect(shipped.tokenBytes(-1)).toHaveLength(0);
  });
});

describe('encode', () => {
  it('refuses half a surrogate pair and says where it is', () => {
    expectRefusal(() => shipped.encode('ok \ud83d.'), /half a surrogate pair at position 3/);
    expectRefusal(() => shipped.encode('\ude00'), /half a surrogate pair at position 0/);
    expect(shipped.decode(shipped.encode('\ud83d\ude00'))).toBe('😀');
  });

  it('encodes the empty text as no tokens', () => {
    expect(shipped.encode('')).toEqual([]);
    expect(shipped.decode([])).toBe('');
  });

  it('adds the tokens that the tokenizer puts around a bare text only on demand', () => {
    const special = { id: '<|endoftext|>', ids: [258], tokens: ['<|endoftext|>'] };
    const post_processor = {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<|endoftext|>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [],
      special_tokens: { '<|endoftext|>': special },
    };
    const tokenizer = loadTiny({}, { post_processor });
    expect(tokenizer.encode('A')).toEqual([65]);
    expect(tokenizer.encode('A', { addSpecialTokens: true })).toEqual([258, 65]);
  });
});

describe('renderChat', () => {
  it('ends with the beginning of the answer only where one is wanted', () => {
    const tokenizer = loadTiny();
    expect(tokenizer.renderChat(hello, prompted)).toBe(
      '<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n',
    );
    expect(tokenizer.renderChat(hello, { addGenerationPrompt: false })).toBe(
      '<|im_start|>user\nhello<|im_end|>\n',
    );
  });

  it('gives the template the names of the special tokens, those that there are', () => {
    const chat_template = '{{ eos_token }}|{{ pad_token }}|{{ bos_token is defined }}|{{ tools is defined }}';
    const config = { chat_template, bos_token: null, pad_token: { content: '<|endoftext|>' } };
    expect(loadTiny(config).renderChat(hello, prompted)).toBe('<|im_end|>|<|endoftext|>|false|false');
  });

  it('takes the default one of several templates', () => {
    const chat_template = [
      { name: 'tool_use', template: 'tools' },
      { name: 'default', template: '{{ messages[0].content }}!' },
    ];
    expect(loadTiny({ chat_template }).renderChat(hello, prompted)).toBe('hello!');
  });

  it('prefers the file chat_template.jinja', () => {
    fs.writeFileSync(join(folder, 'chat_template.jinja'), '{{ messages | length }}');
    expect(loadTiny().renderChat(hello, prompted)).toBe('1');
  });

  it('does not run what users write', () => {
    const content = "{{ 1 + 1 }}{% raise_exception('no') %}";
    expect(loadTiny().renderChat([{ role: 'user', content }], prompted)).toContain(content);
  });

  it.each([[undefined], [[{ name: 'tool_use', template: 'x' }]]])(
    'says so if the model has no template: %j',
    (template) => {
      const tokenizer = loadTiny({ chat_template: template });
      expectRefusal(
        () => tokenizer.renderChat(hello, prompted),
        /has no chat template, .*send a text prompt/,
      );
    },
  );

  it('hands on what the template raises', () => {
    const tokenizer = loadTiny({ chat_template: "{{ raise_exception('Roles must alternate.') }}" });
    expectRefusal(
      () => tokenizer.renderChat(hello, prompted),
      /messages cannot be rendered by the chat template of .*tokenizer_config\.json: Roles must alternate\./,
    );
  });
});

describe('loadTokenizer', () => {
  it('names a missing tokenizer.json', () => {
    expectRefusal(() => loadTokenizer(folder), /tokenizer\.json does not exist/);
  });

  it('does without tokenizer_config.json', () => {
    fs.writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tinyTokenizer));
    expect(loadTokenizer(folder).encode('AB')).toEqual([65, 66]);
  });

  it('refuses a tokenizer that knows more tokens than the model', () => {
    loadTiny();
    expect(loadTokenizer(folder, 259).vocabularySize).toBe(259);
    expectRefusal(
      () => loadTokenizer(folder, 258),
      /largest token id is 258, and vocab_size in config\.json is 258/,
    );
  });

  it('refuses a template that is not Jinja', () => {
    expectRefusal(
      () => loadTiny({ chat_template: '{% for %}' }),
      /tokenizer_config\.json: .* not valid Jinja/,
    );
  });

  it.each([
    [{ decoder: { type: 'Metaspace' } }, /tokenizer\.json: decoder\.type must be "ByteLevel"/],
    [{ decoder: null }, /decoder must be a ByteLevel decoder/],
    [{ model: { ...tinyTokenizer.model, type: 'Unigram' } }, /model\.type must be "BPE"/],
    [{ model: { ...tinyTokenizer.model, vocab: { a: -1 } } }, /model\.vocab must map tokens to ids/],
    [{ model: { ...tinyTokenizer.model, end_of_word_suffix: '</w>' } }, /end_of_word_suffix must be ""/],
    [{ added_tokens: [{ content: 'x', special: true }] }, /added_tokens\.0\.id must be a token id/],
    [{ normalizer: { type: 'Unheard-of' } }, /tokenizer\.json cannot be used: .*Unheard-of/],
  ])('refuses what it cannot do right: %j', (replaced, message) => {
    expectRefusal(() => loadTiny({}, replaced), message);
  });
});
