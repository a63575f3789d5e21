import { describe, expect, it } from 'vitest';
import type { ChatMessage, FunctionTool } from '../../shared/protocol/request.ts';
import { toolCallText } from '../../shared/protocol/tool-call-text.ts';
import { tinyTokenizerConfig } from '../../test/support/tiny-tokenizer.ts';
import { ChatTemplate } from './chat-template.ts';

const LOOK_UP: FunctionTool = {
  type: 'function',
  function: {
    name: 'look_up',
    description: 'Looks a word up.',
    parameters: { type: 'object', properties: { word: { type: 'string' } } },
  },
};
const call = (id: string, word: string) => ({
  id,
  type: 'function' as const,
  function: { name: 'look_up', arguments: { word } },
});
const answered = (id: string, content: string): ChatMessage => ({
  role: 'tool',
  content,
  tool_call_id: id,
  name: 'look_up',
});

const asked: ChatMessage = { role: 'user', content: 'Compare them.' };
const conversation: ChatMessage[] = [
  asked,
  { role: 'assistant', content: 'Wait.', tool_calls: [call('a', 'ship'), call('b', 'boat')] },
  answered('a', 'large'),
  answered('b', 'small'),
  { role: 'assistant', content: '', tool_calls: [call('c', 'raft')] },
  answered('c', 'flat'),
];

const render = (
  source: string,
  messages: readonly ChatMessage[],
  tools: readonly FunctionTool[] = [],
): string => new ChatTemplate(source, 'template', {}).render(messages, { addGenerationPrompt: false, tools });

describe('a chat template that knows tools', () => {
  it('is given them, and messages as they are', () => {
    const source =
      "{% for tool in tools %}{{ tool | tojson }}{{ '\n' }}{% endfor %}" +
      '{% for message in messages %}{{ message.role }}:{{ message.content }}:{{ message.tool_call_id }}' +
      '{% if message.tool_calls %}{% for call in message.tool_calls %}' +
      '{{ call.function.name }}={{ call.function.arguments.word }};{% endfor %}{% endif %}' +
      "{{ '\n' }}{% endfor %}";
    const [tool, ...lines] = render(source, conversation, [LOOK_UP]).trimEnd().split('\n');
    expect(JSON.parse(tool!)).toEqual(LOOK_UP);
    expect(lines).toEqual([
      'user:Compare them.:',
      'assistant:Wait.:look_up=ship;look_up=boat;',
      'tool:large:a',
      'tool:small:b',
      'assistant::look_up=raft;',
      'tool:flat:c',
    ]);
  });

  it('is told of none where there are none', () => {
    expect(render('{{ tools is defined }}', [asked])).toBe('false');
  });
});

describe('a chat template that does not know tools', () => {
  const { chat_template: chatml } = tinyTokenizerConfig;
  const turn = (role: string, content: string): string => `<|im_start|>${role}\n${content}<|im_end|>\n`;
  const response = (content: string): string => `<tool_response>\n${content}\n</tool_response>`;
  const written = (word: string): string => toolCallText({ name: 'look_up', arguments: { word } });

  it('gets calls and their results as text', () => {
    expect(render(chatml, conversation)).toBe(
      turn('user', 'Compare them.') +
        turn('assistant', `Wait.\n${written('ship')}\n${written('boat')}`) +
        turn('user', `${response('large')}\n${response('small')}`) +
        turn('assistant', written('raft')) +
        turn('user', response('flat')),
    );
  });

  it('gets the tools in the system message, behind what stands there', () => {
    const text = render(chatml, [{ role: 'system', content: 'Be brief.' }, asked], [LOOK_UP]);
    expect(text).toMatch(/^<\|im_start\|>system\nBe brief\.\n\nYou may call these functions:/);
    expect(text).toContain(`:\n${JSON.stringify(LOOK_UP.function)}\nTo call one`);
    expect(text.endsWith(turn('user', 'Compare them.'))).toBe(true);
  });

  it('gets one where there is none', () => {
    expect(render(chatml, [asked], [LOOK_UP])).toMatch(
      /^<\|im_start\|>system\nYou may call these functions:/,
    );
  });

  it('gets a conversation without tools as it is', () => {
    const plain = [asked, { role: 'assistant', content: '' }];
    expect(render(chatml, plain)).toBe(turn('user', 'Compare them.') + turn('assistant', ''));
  });
});
