import { MODEL } from '../gateway/bed.ts';

/** JSON values that are wrong nearly everywhere, or right where they should be wrong. */
export const HOSTILE_VALUES: readonly unknown[] = [
  ...[null, true, false, [], {}, [null], [[]], [{}], { a: {} }],
  ...[0, -0, 1, -1, 0.5, 1.5, 2 ** 31, -(2 ** 31), 2 ** 32, 2 ** 53, -(2 ** 53), 1e308, -1e308, 5e-324],
  ...['', ' ', '0', '1', '-1', 'null', 'true', 'NaN', 'Infinity', '-Infinity', 'undefined', '1e999'],
  ...['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', '[object Object]'],
  ...['\u0000', '\ud800', '\udc00', 'a\ud83d', '\u{1f600}', '\ufeff', '\u202e', 'a\u0301\u0301', '\uffff'],
  ...['../../etc/passwd', '%00', '%s%n', '{{7*7}}', '<script>', "' OR 1=1", '\r\nX-A: b', '*', '{x}'],
];

const nested = (open: string, close: string, levels: number): string =>
  `${open.repeat(levels)}1${close.repeat(levels)}`;

/** Texts in the place of a value: some are no JSON, others cannot be written by `JSON.stringify`. */
export const HOSTILE_TEXTS: readonly string[] = [
  ...['NaN', 'Infinity', '-Infinity', 'undefined', 'True', 'None', "'a'", '{a:1}', '[1,]', '{"a":1,}', ''],
  ...['1e999', '-1e999', '1e-999', '01', '0x10', '1.', '.5', '+1', '1_000', '-', '/* */1'],
  ...['"\\x41"', '"\\u12"', '"\\ud800"', '"\\udfff\\ud800"', '"\\u0000"', '"\t"', '"a'],
  ...['9'.repeat(400), `-0.${'1'.repeat(400)}`, `1${'0'.repeat(40)}`],
  '{"__proto__":{"polluted":true}}',
  '{"__proto__":null}',
  '{"constructor":{"prototype":{"polluted":true}}}',
  '[{"__proto__":{"polluted":true}}]',
  ...[
    nested('[', ']', 200),
    nested('{"a":', '}', 200),
    nested('[', ']', 20_000),
    nested('{"a":', '}', 5_000),
  ],
];

/** Names of fields that other servers know, and names that are none. */
export const OTHER_NAMES: readonly string[] = [
  ...['tools', 'tool_choice', 'functions', 'function_call', 'audio', 'modalities', 'suffix', 'echo'],
  ...['best_of', 'conversation', 'previous_response_id', 'background', 'store', 'user', 'prediction'],
  ...['top_logprobs', 'min_p', 'top_k', 'guided_json', 'stream_options', 'metadata', 'include'],
  ...['__proto__', 'constructor', 'prototype', 'toString', 'valueOf', 'toJSON', 'then', 'length'],
  ...['', ' ', '0', '-1', '\u0000', '\ud800', 'ключ', '\u{1f600}', 'a.b', 'a[0]', '$ref', '$where'],
  ...['Model', 'MODEL', 'model ', 'Messages', 'n'.repeat(300)],
];

const schemaFormat = (schema: unknown) => ({
  type: 'json_schema',
  json_schema: { name: 'answer', schema },
});

/** Values on both sides of what single fields may be, by their names. */
export const BOUNDARIES: Readonly<Record<string, readonly unknown[]>> = {
  model: ['', MODEL, `${MODEL} `, MODEL.toUpperCase(), '../x', 'm'.repeat(300), 'org/other', '%2e'],
  temperature: [-1e-9, 0, 1e-6, 2, 2.000001],
  top_p: [0, 1e-9, 1, 1.000001],
  n: [0, 1, 2, 16, 17],
  max_tokens: [0, 1, 512, 2 ** 53 - 1, 2 ** 53, 1.5],
  max_completion_tokens: [0, 1, 2 ** 31],
  max_output_tokens: [0, 1, 2 ** 31],
  seed: [0, -1, 2 ** 32, 2 ** 53, -1e300, 1e308, 0.5],
  stop: ['', 'a', [''], ['a', 'b', 'c', 'd'], ['a', 'b', 'c', 'd', 'e'], 'x'.repeat(5_000), '\ud800'],
  logit_bias: [{}, { 0: 100 }, { 4095: -100 }, { 4096: 1 }, { '-1': 1 }, { '1e3': 1 }, { 999999999: 0 }],
  logprobs: [true, false, 0, 20, 21],
  top_logprobs: [0, 20, 21, -1],
  stop_token_ids: [[], [0], [4_095], [4_096], [-1]],
  presence_penalty: [-2, 2, 2.1],
  repetition_penalty: [0, 0.009, 0.01, 100, 101],
  top_k: [-2, -1, 0, 2 ** 53 - 1],
  min_p: [0, 1, 1.1],
  role: ['system', 'developer', 'assistant', 'tool', 'function', 'USER'],
  content: ['', 'x', [], [{ type: 'text', text: '' }], [{ type: 'image_url', image_url: {} }]],
  messages: [[], [[]], ['Hi'], [{ role: 'user', content: 'a' }, null]],
  prompt: ['', [], [[]], ['a', 1], [1, 'a'], [[1], 'a'], [4_095], [4_096], [-1], [0.5], ['a', 'b', 'c']],
  input: ['', [], [{}], [{ role: 'user', content: [] }], [{ type: 'function_call' }]],
  response_format: [
    ...[{ type: 'text' }, { type: 'json_object' }, { type: 'json_schema' }, { type: 'xml' }],
    ...[{}, { $ref: '#' }, { pattern: '(' }, { type: 'string', pattern: 'a.{20}b' }].map(schemaFormat),
    ...[{ anyOf: [] }, { enum: [] }, { properties: { toString: {} } }, false].map(schemaFormat),
  ],
  metadata: [{}, { a: 1 }, Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, 'v']))],
  include: [[], ['message.output_text.logprobs'], ['x'], [1], Array.from({ length: 100 }, () => 'x')],
  completion_window: ['24h', '1h', 24],
  endpoint: ['/v1/chat/completions', '/v1/completions', '/v1/responses', '/v1/embeddings', '/'],
  input_file_id: ['', 'file-x', '../x', `file-${'0'.repeat(32)}`],
  tools: [[], [{}], [{ type: 'function', function: { name: 'f' } }], [{ type: 'web_search' }]],
  tool_choice: ['none', 'auto', 'required', { type: 'function', function: { name: 'g' } }],
};
