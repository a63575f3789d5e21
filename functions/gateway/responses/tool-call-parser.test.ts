import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CALL_CLOSE, CALL_OPEN, toolCallText } from '../../../shared/protocol/tool-call-text.ts';
import { type AnswerPart, ToolCallParser } from './tool-call-parser.ts';

const CALLABLE = ['look_up', 'count'];

/** What the pieces of an answer become: texts that follow each other as one. */
function parse(...pieces: readonly string[]): AnswerPart[] {
  const parser = new ToolCallParser(CALLABLE);
  const told = pieces.flatMap((piece) => parser.push(piece));
  return merged([...told, ...parser.end()]);
}

function merged(parts: readonly AnswerPart[]): AnswerPart[] {
  const all: AnswerPart[] = [];
  for (const part of parts) {
    const last = all.at(-1);
    if (part.kind === 'text' && last?.kind === 'text') all.pop();
    const before = part.kind === 'text' && last?.kind === 'text' ? last.text : '';
    all.push(part.kind === 'text' ? text(before + part.text) : part);
  }
  return all;
}

const text = (content: string): AnswerPart => ({ kind: 'text', text: content });
const call = (name: string, written: string): AnswerPart => ({ kind: 'call', name, arguments: written });
const harbor = toolCallText({ name: 'look_up', arguments: { word: 'harbor' } });
const harborCall = call('look_up', '{"word":"harbor"}');

describe('an answer', () => {
  test.each<[string, string, AnswerPart[]]>([
    ['without calls is text to the letter', ' a < b\n <tool> \n', [text(' a < b\n <tool> \n')]],
    ['of white space alone is that', ' \n', [text(' \n')]],
    ['that is one call', harbor, [harborCall]],
    ['with text in front of a call', `See:\n\n${harbor}`, [text('See:'), harborCall]],
    ['with text behind a call', `${harbor}\n So.\n`, [harborCall, text('So.\n')]],
    ['of two calls', `${harbor}\n${harbor}\n`, [harborCall, harborCall]],
    ['of two calls without a line between', harbor + harbor, [harborCall, harborCall]],
    ['whose call is not closed', harbor.slice(0, -CALL_CLOSE.length), [harborCall]],
    ['whose call is half closed', harbor.slice(0, -3), [harborCall]],
    [
      'whose arguments hold tags and braces',
      `${CALL_OPEN}{"name":"count","arguments":{"a":"</tool_call>}\\"<tool_call>{"}}${CALL_CLOSE}`,
      [call('count', '{"a":"</tool_call>}\\"<tool_call>{"}')],
    ],
    [
      'whose numbers are longer than JavaScript keeps',
      `${CALL_OPEN}{"arguments": {"id": 12345678901234567890, "deep": {"arguments": [1, {}]}}, "name": "count"}${CALL_CLOSE}`,
      [call('count', '{"id": 12345678901234567890, "deep": {"arguments": [1, {}]}}')],
    ],
    [
      'with a name written in escapes',
      `${CALL_OPEN}{"name":"\\u0063ount","arguments":{}}`,
      [call('count', '{}')],
    ],
  ])('%s', (_, answer, parts) => expect(parse(answer)).toEqual(parts));

  test.each<[string, string]>([
    ['is cut off', harbor.slice(0, -CALL_CLOSE.length - 4)],
    ['is no JSON', `${CALL_OPEN}\n{"name": "look_up", "arguments": {word}}\n${CALL_CLOSE} so`],
    ['is no object', `${CALL_OPEN}"look_up"${CALL_CLOSE}`],
    ['has no arguments', `${CALL_OPEN}{"name": "look_up"}${CALL_CLOSE}`],
    ['has arguments that are no object', `${CALL_OPEN}{"name": "look_up", "arguments": [1]}${CALL_CLOSE}`],
    ['names an unknown function', toolCallText({ name: 'other', arguments: {} })],
    ['has brackets that do not match', `${CALL_OPEN}{"name": "look_up", "arguments": {]}${CALL_CLOSE}`],
    ['is spoken of', `The tag ${CALL_OPEN} begins a call.`],
  ])('with a call that %s is text to the letter', (_, answer) => {
    expect(parse(`Well, \n${answer}`)).toEqual([text(`Well, \n${answer}`)]);
  });

  test('finds a call behind one that was none', () => {
    const broken = `${CALL_OPEN}\n{"name": "look_up", "arguments": {\n${CALL_CLOSE}\n`;
    const [before, found] = parse(broken + harbor);
    expect(found).toEqual(harborCall);
    expect(before).toEqual(text(broken.trimEnd()));
    expect(parse(CALL_OPEN + harbor)).toEqual([text(CALL_OPEN), harborCall]);
  });
});

describe('what is held back', () => {
  const parser = () => new ToolCallParser(CALLABLE);

  test('is only what may begin a call', () => {
    const one = parser();
    expect(one.push('Hello <')).toEqual([text('Hello')]);
    expect(one.push('b> wor')).toEqual([text(' <b> wor')]);
    expect(one.push('ld')).toEqual([text('ld')]);
    expect(one.end()).toEqual([]);
  });

  test('is no more white space than belongs to a call', () => {
    const told = parser().push(' '.repeat(1_000));
    expect(told).toEqual([text(' '.repeat(1_000 - 64))]);
  });

  test('is told with the end of a call’s object', () => {
    const one = parser();
    expect(one.push(harbor.slice(0, -CALL_CLOSE.length - 2))).toEqual([]);
    expect(one.push('}')).toEqual([harborCall]);
    expect(one.push(`\n${CALL_CLOSE}\n`)).toEqual([]);
    expect(one.end()).toEqual([]);
  });
});

test('how an answer is cut does not matter', () => {
  const fragment = fc.oneof(
    fc.constantFrom(CALL_OPEN, CALL_CLOSE, '<', '<tool_', '\n', '  ', '{', '}', '"', '\\', ' '.repeat(80)),
    fc.constantFrom('{"name": "look_up", "arguments": {"a": "<tool_call>"}}', 'so', harbor),
    fc
      .dictionary(fc.string({ maxLength: 4 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 })
      .map((given) => toolCallText({ name: 'count', arguments: given })),
  );
  const answers = fc.array(fragment, { maxLength: 12 }).map((fragments) => fragments.join(''));
  const cuts = fc.array(fc.nat(), { maxLength: 12 });
  let calls = 0;
  const property = fc.property(answers, cuts, (answer, places) => {
    const ends = [...places.map((place) => place % (answer.length + 1)), answer.length].sort((a, b) => a - b);
    const pieces = ends.map((end, index) => answer.slice(ends[index - 1] ?? 0, end));
    const whole = parse(answer);
    expect(parse(...pieces)).toEqual(whole);
    expect(parse(...answer)).toEqual(whole);
    calls += whole.filter(({ kind }) => kind === 'call').length;
    for (const part of whole) if (part.kind === 'call') JSON.parse(part.arguments);
  });
  fc.assert(property, { numRuns: 400 });
  expect(calls).toBeGreaterThan(100);
});
