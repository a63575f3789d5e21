import { expect, test } from 'vitest';
import { modelCard } from '../../../test/support/gateway/scripted-pool.ts';
import { parseChat } from '../schema/chat.ts';
import { parseCompletion } from '../schema/completions.ts';
import { estimateTokens } from './estimate-tokens.ts';

/** Its context holds 512 tokens. */
const card = modelCard('m');
const messages = [
  { role: 'system', content: 'x'.repeat(40) },
  { role: 'user', content: 'x'.repeat(9) },
];

test.each([
  [
    'a chat: a token for 4 bytes and 4 for each message',
    parseChat({ messages, max_tokens: 7 }),
    10 + 3 + 8 + 7,
  ],
  ['an answer that has no bound: 256', parseChat({ messages }), 10 + 3 + 8 + 256],
  ['a bound beyond the context: no more than that', parseChat({ messages, max_tokens: 1e9 }), 21 + 512],
  ['a text, in UTF-8', parseCompletion({ prompt: 'é'.repeat(10), max_tokens: 1 }), 5 + 1],
  ['token ids, which are known', parseCompletion({ prompt: [1, 2, 3], max_tokens: 1 }), 3 + 1],
  [
    'all prompts once, and every choice',
    parseCompletion({ prompt: ['abcd', [1, 2]], n: 3, max_tokens: 5 }),
    3 + 30,
  ],
  [
    'calls and tools, as they are written',
    parseChat({
      messages: [{ role: 'assistant', tool_calls: [{ id: 'a', function: { name: 'f', arguments: '{}' } }] }],
      tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }],
      max_tokens: 1,
    }),
    // {"name":"f","arguments":{}} and {"type":"function","function":{"name":"f","parameters":{"type":"object"}}}
    Math.ceil(27 / 4) + 4 + Math.ceil(74 / 4) + 1,
  ],
])('estimates %s', (_, request, tokens) => expect(estimateTokens(request, card)).toBe(tokens));
