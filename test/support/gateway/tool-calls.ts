/** A function as both APIs describe it. */
export const LOOK_UP = {
  name: 'look_up',
  description: 'Looks a word up.',
  parameters: {
    type: 'object',
    properties: { word: { type: 'string' } },
    required: ['word'],
    additionalProperties: false,
  },
};

/** Calls as a model writes them. */
export const ARGUMENTS = '{"word": "harbor"}';
export const CALL = `<tool_call>\n{"name": "look_up", "arguments": ${ARGUMENTS}}\n</tool_call>`;
export const COUNT_CALL = '<tool_call>\n{"name": "count", "arguments": {}}\n</tool_call>';

/** A text in pieces that cut tags. */
export const cut = (text: string): string[] => text.match(/.{1,7}/gs) ?? [];
