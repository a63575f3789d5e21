import { apiPaths, type ErrorStatus, KEY_ERRORS, type Operation, TIMEOUT_HEADER } from '../operation.ts';

const MODEL = 'dictionary-moe';
const ERRORS: readonly ErrorStatus[] = [400, ...KEY_ERRORS, 404, 413, 429, 504];

const paths = (path: string): string[] => [path, `/models/{model}${path}`, ...apiPaths(path)];
const tokenizer = {
  method: 'post',
  tag: 'Tokenizer',
  access: 'api',
  headers: TIMEOUT_HEADER,
  errors: ERRORS,
} as const;

/** As vLLM has them. */
export const TOKENIZER: readonly Operation[] = [
  {
    ...tokenizer,
    id: 'tokenize',
    paths: paths('/tokenize'),
    summary: 'Turns a text or a conversation into token ids',
    body: {
      kind: 'json',
      schema: 'TokenizeRequest',
      example: { model: MODEL, messages: [{ role: 'user', content: 'Define "harbor".' }] },
    },
    answer: { description: 'The token ids.', content: { kind: 'json', schema: 'Tokenization' } },
  },
  {
    ...tokenizer,
    id: 'detokenize',
    paths: paths('/detokenize'),
    summary: 'Turns token ids into text',
    body: { kind: 'json', schema: 'DetokenizeRequest', example: { model: MODEL, tokens: [1, 2, 3] } },
    answer: { description: 'The text.', content: { kind: 'json', schema: 'Detokenization' } },
  },
];
