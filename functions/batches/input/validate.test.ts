import { describe, expect, test } from 'vitest';
import { readLines } from './read-lines.ts';
import { validateInput } from './validate.ts';

const MODEL = 'known';
const body = { model: MODEL, messages: [{ role: 'user', content: 'Hi' }] };
const line = (fields: object = {}) => ({
  custom_id: 'a',
  method: 'POST',
  url: '/v1/chat/completions',
  body,
  ...fields,
});

async function* chunks(text: string | Uint8Array, size = 7): AsyncGenerator<Uint8Array> {
  const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
}

const validate = (content: string | Uint8Array) =>
  validateInput(readLines(chunks(content)), {
    endpoint: '/v1/chat/completions',
    promptCharacters: 100,
    knowsModel: async (model) => model === MODEL,
  });

const jsonl = (...lines: readonly object[]): string => lines.map((each) => JSON.stringify(each)).join('\n');

test('a valid file has as many requests as lines that hold something', async () => {
  const content = `\r\n${jsonl(line(), line({ custom_id: 'é' }))}\r\n\n  \n${jsonl(line({ custom_id: 'c' }))}`;
  expect(await validate(content)).toEqual({ total: 3, errors: [] });
});

describe('a line is refused, with its number', () => {
  test.each<[string, string, string, string | null]>([
    ['that is no JSON', '{"custom_id":', 'invalid_json_line', null],
    ['that is no object', '[1]', 'invalid_json_line', null],
    ['without custom_id', jsonl(line({ custom_id: undefined })), 'invalid_custom_id', 'custom_id'],
    ['with a custom_id that is no text', jsonl(line({ custom_id: 5 })), 'invalid_custom_id', 'custom_id'],
    ['with an empty custom_id', jsonl(line({ custom_id: '' })), 'invalid_custom_id', 'custom_id'],
    [
      'with a custom_id that is too long',
      jsonl(line({ custom_id: 'x'.repeat(513) })),
      'invalid_custom_id',
      'custom_id',
    ],
    [
      'with a custom_id that an earlier line has',
      jsonl(line({ custom_id: 'first' })),
      'duplicate_custom_id',
      'custom_id',
    ],
    ['with another method', jsonl(line({ method: 'GET' })), 'invalid_method', 'method'],
    ['with another endpoint', jsonl(line({ url: '/v1/completions' })), 'invalid_url', 'url'],
    ['without url', jsonl(line({ url: undefined })), 'invalid_url', 'url'],
    ['without body', jsonl(line({ body: undefined })), 'invalid_request', 'body'],
    ['without model', jsonl(line({ body: { ...body, model: undefined } })), 'invalid_request', 'body.model'],
    [
      'with an unknown model',
      jsonl(line({ body: { ...body, model: 'x' } })),
      'model_not_found',
      'body.model',
    ],
    ['that streams', jsonl(line({ body: { ...body, stream: true } })), 'invalid_request', 'body.stream'],
    [
      'with a wrong field in the body',
      jsonl(line({ body: { ...body, temperature: 3 } })),
      'invalid_request',
      'body.temperature',
    ],
    [
      'with a field that is not supported',
      jsonl(line({ body: { ...body, functions: [{}] } })),
      'unsupported_parameter',
      'body.functions',
    ],
    [
      'with a prompt that is too long',
      jsonl(line({ body: { ...body, messages: [{ role: 'user', content: 'x'.repeat(101) }] } })),
      'string_above_max_length',
      'body.messages',
    ],
  ])('%s', async (_, wrong, code, param) => {
    const content = `${jsonl(line({ custom_id: 'first' }))}\n\n${wrong}\n${jsonl(line({ custom_id: 'last' }))}\n`;
    const { total, errors } = await validate(content);
    expect(total).toBe(3);
    expect(errors).toEqual([{ code, line: 3, param, message: expect.any(String) }]);
  });

  test('that is not UTF-8', async () => {
    const content = Buffer.concat([
      Buffer.from(`${jsonl(line())}\n{"custom_id":"`),
      Buffer.from([0xff, 0x22, 0x7d]),
    ]);
    expect((await validate(content)).errors).toMatchObject([{ code: 'invalid_json_line', line: 2 }]);
  });
});

test('all wrong lines are told, up to a bound', async () => {
  const { errors } = await validate('x\n'.repeat(500));
  expect(errors.map((error) => error.line)).toEqual(Array.from({ length: 100 }, (_, index) => index + 1));
});

test('a file without requests is refused', async () => {
  expect((await validate('\n \n')).errors).toMatchObject([{ code: 'empty_file', line: null }]);
});
