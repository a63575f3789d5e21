import { MODEL } from '../gateway/bed.ts';

/** What is there for requests to name. */
export interface KnownIds {
  readonly file: string;
  /** A file that a request may delete. */
  readonly spareFile: string;
  readonly batch: string;
}

export interface FormField {
  readonly name: string;
  /** Makes the field a file. */
  readonly filename?: string;
  readonly value: string;
}

/** A valid request, to be mutated. */
export interface Seed {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly json?: object;
  readonly form?: readonly FormField[];
}

const messages = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: [{ type: 'text', text: 'Define "harbor".' }] },
  { role: 'assistant', content: 'A place for ships.', name: 'a' },
  { role: 'user', content: 'And "pier"?' },
];
const sampling = {
  ...{ temperature: 0.5, top_p: 0.9, presence_penalty: 0.1, frequency_penalty: -0.1, seed: 7, stop: ['.'] },
  ...{ logit_bias: { 5: 1 }, top_k: 40, min_p: 0.1, repetition_penalty: 1.1, stop_token_ids: [2], n: 1 },
};
const answerSchema = {
  type: 'object',
  properties: { word: { type: 'string', pattern: '^[a-z]+$' }, count: { type: 'integer', minimum: 1 } },
  required: ['word'],
  additionalProperties: false,
};
const tool = {
  type: 'function',
  function: { name: 'look_up', description: 'Looks a word up.', parameters: answerSchema },
};

const CHATS: readonly object[] = [
  { model: MODEL, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 4 },
  { model: MODEL, messages, max_completion_tokens: 4, logprobs: true, top_logprobs: 2, ...sampling },
  { model: MODEL, messages, max_tokens: 4, stream: true, stream_options: { include_usage: true } },
  {
    model: MODEL,
    messages,
    max_tokens: 4,
    response_format: { type: 'json_schema', json_schema: { name: 'answer', schema: answerSchema } },
  },
  { model: MODEL, messages, max_tokens: 4, tools: [tool], tool_choice: 'auto', parallel_tool_calls: false },
];
const COMPLETIONS: readonly object[] = [
  { model: MODEL, prompt: 'A harbor is', max_tokens: 4, logprobs: 1, ...sampling },
  { model: MODEL, prompt: ['a', 'b'], n: 2, max_tokens: 4, stream: true },
  { model: MODEL, prompt: [1, 2, 3], max_tokens: 4, response_format: { type: 'json_object' } },
  { model: MODEL, prompt: [[1, 2], [3]], max_tokens: 4, suffix: null, echo: false, best_of: 1 },
];
const RESPONSES: readonly object[] = [
  { model: MODEL, input: 'Hi', max_output_tokens: 4, instructions: 'Be brief.', metadata: { a: 'b' } },
  { model: MODEL, input: messages, max_output_tokens: 4, stream: true, include: [], top_logprobs: 1 },
  {
    model: MODEL,
    input: [{ type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Hi' }] }],
    max_output_tokens: 4,
    text: { format: { type: 'json_schema', name: 'answer', schema: answerSchema } },
  },
  { model: MODEL, input: 'Hi', tools: [{ ...tool.function, type: 'function' }], tool_choice: 'auto' },
];

const TOKENIZATIONS: readonly object[] = [
  { model: MODEL, prompt: 'A harbor', add_special_tokens: false, return_token_strs: true },
  { model: MODEL, messages, add_generation_prompt: true },
];
const DETOKENIZATIONS: readonly object[] = [{ model: MODEL, tokens: [1, 2, 3] }];

const withoutModel = ({ model: _, ...fields }: { model?: string }): object => fields;
const posts = (path: string, bodies: readonly object[]): Seed[] =>
  bodies.map((json) => ({ method: 'POST', path, json }));
const gets = (...paths: readonly string[]): Seed[] => paths.map((path) => ({ method: 'GET', path }));

const line = JSON.stringify({
  custom_id: 'a',
  method: 'POST',
  url: '/v1/chat/completions',
  body: CHATS[0],
});
const purpose: FormField = { name: 'purpose', value: 'batch' };
export const INPUT_FILE: readonly FormField[] = [
  purpose,
  { name: 'file', filename: 'in.jsonl', value: `${line}\n` },
];

/** Requests that generate. */
export const GENERATIONS: readonly Seed[] = [
  ...posts('/v1/chat/completions', CHATS),
  ...posts('/v1/completions', COMPLETIONS),
  ...posts('/v1/responses', RESPONSES),
  ...posts(`/models/${MODEL}/v1/chat/completions`, CHATS.map(withoutModel)),
  ...posts(`/models/${MODEL}/v1/completions`, COMPLETIONS.map(withoutModel)),
  ...posts(`/models/${MODEL}/v1/responses`, RESPONSES.map(withoutModel)),
];

const NOT_OFFERED = [
  ...['/embeddings', '/moderations', '/images/generations', '/images/edits', '/images/variations'],
  ...['/audio/speech', '/audio/transcriptions', '/audio/translations'],
];

const tokenizerAt = (prefix: string): Seed[] => [
  ...posts(`${prefix}/tokenize`, TOKENIZATIONS),
  ...posts(`${prefix}/detokenize`, DETOKENIZATIONS),
];

/** All other requests: at least one for each route. */
export const othersFor = ({ file, spareFile, batch }: KnownIds): readonly Seed[] => [
  ...gets('/health', '/ready', '/metrics', '/openapi.json', '/docs'),
  ...['', '/v1', `/models/${MODEL}`, `/models/${MODEL}/v1`].flatMap(tokenizerAt),
  ...gets('/v1/streams/x', `/models/${MODEL}/v1/streams/x`),
  ...gets('/v1/models', `/v1/models/${MODEL}`, `/models/${MODEL}/v1/models`),
  ...gets(`/models/${MODEL}/v1/models/${MODEL}`, `/v1/files/${file}`, `/v1/files/${file}/content`),
  ...gets(`/v1/batches/${batch}`, '/v1/files', '/v1/batches', '/admin/anything', '/'),
  { method: 'GET', path: '/v1/files', query: { limit: '2', after: file, order: 'asc', purpose: 'batch' } },
  { method: 'GET', path: '/v1/batches', query: { limit: '2', after: batch } },
  { method: 'DELETE', path: `/v1/files/${spareFile}` },
  { method: 'DELETE', path: '/v1/files/file-x' },
  { method: 'POST', path: '/v1/files', form: INPUT_FILE },
  { method: 'POST', path: '/v1/files', form: INPUT_FILE.toReversed() },
  ...posts('/v1/batches', [
    {
      input_file_id: file,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
      metadata: { a: 'b' },
    },
  ]),
  ...posts(`/v1/batches/${batch}/cancel`, [{}]),
  ...NOT_OFFERED.flatMap((path) => posts(`/v1${path}`, [{ model: MODEL }])),
  ...NOT_OFFERED.flatMap((path) => posts(`/models/${MODEL}/v1${path}`, [{}])),
];
