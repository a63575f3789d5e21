import { LAST_EVENT_ID } from '../../resumption/message-id.ts';
import { apiPaths, type ErrorStatus, KEY_ERRORS, type Operation, TIMEOUT_HEADER } from '../operation.ts';

const MODEL = 'dictionary-moe';
const ERRORS: readonly ErrorStatus[] = [400, ...KEY_ERRORS, 404, 413, 429, 504];
const QUESTION = 'Define "harbor".';

const goesOn = {
  [LAST_EVENT_ID]: 'Id of the last message that the client has: the stream goes on behind it.',
};
const headers = {
  ...TIMEOUT_HEADER,
  'x-resumable': '`true`: a stream goes on for a while without its client, which may come back to it.',
  ...goesOn,
};
const generation = { method: 'post', tag: 'Generation', access: 'api', headers, errors: ERRORS } as const;

export const GENERATION: readonly Operation[] = [
  {
    ...generation,
    id: 'createChatCompletion',
    paths: apiPaths('/chat/completions'),
    summary: 'Answers a conversation',
    body: {
      kind: 'json',
      schema: 'ChatCompletionRequest',
      example: { model: MODEL, messages: [{ role: 'user', content: QUESTION }], max_tokens: 64 },
    },
    answer: {
      description: 'The answer.',
      content: { kind: 'json', schema: 'ChatCompletion' },
      streamed: 'With `stream`: `chat.completion.chunk` objects, one per `data:` line, and `[DONE]`.',
    },
  },
  {
    ...generation,
    id: 'createCompletion',
    paths: apiPaths('/completions'),
    summary: 'Goes on with a text',
    description: 'Answers have 16 tokens at most, unless `max_tokens` says otherwise.',
    body: {
      kind: 'json',
      schema: 'CompletionRequest',
      example: { model: MODEL, prompt: 'A harbor is', max_tokens: 32 },
    },
    answer: {
      description: 'The text.',
      content: { kind: 'json', schema: 'Completion' },
      streamed: 'With `stream`: `text_completion` objects, one per `data:` line, and `[DONE]`.',
    },
  },
  {
    ...generation,
    id: 'createResponse',
    paths: apiPaths('/responses'),
    summary: 'Answers an input, as the Responses API does',
    description: 'Nothing is kept: the whole conversation is sent each time.',
    body: {
      kind: 'json',
      schema: 'ResponseRequest',
      example: { model: MODEL, input: QUESTION, max_output_tokens: 64 },
    },
    answer: {
      description: 'The response.',
      content: { kind: 'json', schema: 'Response' },
      streamed:
        'With `stream`: events under the names in their `type`, `response.created` to `response.completed`.',
    },
  },
  {
    id: 'resumeStream',
    method: 'get',
    paths: apiPaths('/streams/{requestId}'),
    tag: 'Generation',
    summary: 'Goes on with a stream that was resumable',
    description: 'With 204 it says that the client has all of it.',
    access: 'api',
    headers: goesOn,
    answer: {
      description: 'What follows the last message that the client has.',
      content: { kind: 'text', mediaType: 'text/event-stream' },
    },
    errors: [400, ...KEY_ERRORS, 404, 504],
  },
];
