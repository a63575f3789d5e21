import { failureBody } from '../errors.ts';
import type { AnswerEvent } from '../generation/journal.ts';
import { type AnsweredCall, AnswerParts, type ToldPart } from './answer-parts.ts';
import { type AnswerFormat, type AnswerHead, gatherChoices, type WholeChoice } from './format.ts';
import { chatLogprob } from './logprobs.ts';

/** A call in a whole message. */
const callObject = ({ id, name, arguments: written }: AnsweredCall) => ({
  id,
  type: 'function',
  function: { name, arguments: written },
});

/** A call comes in two pieces, as clients expect: who is called, then with what. */
function deltasOf(part: ToldPart): object[] {
  if (part.kind === 'text') return [{ content: part.text }];
  const { index, id, name, arguments: written } = part.call;
  const begun = { index, id, type: 'function', function: { name, arguments: '' } };
  return [{ tool_calls: [begun] }, { tool_calls: [{ index, function: { arguments: written } }] }];
}

const messageOf = ({ text, calls }: WholeChoice<object>) => ({
  role: 'assistant',
  content: text === '' && calls.length > 0 ? null : text,
  refusal: null,
  ...(calls.length > 0 && { tool_calls: calls.map(callObject) }),
});

/** `chat.completion` and `chat.completion.chunk` objects. */
export function createChatFormat(head: AnswerHead): AnswerFormat {
  const { created, model, echo } = head;
  const common = { id: `chatcmpl-${head.requestId}`, created, model, ...echo };
  const parts = new AnswerParts(head);
  const logprobsOf = (content: readonly object[]) => (head.logprobs ? { content, refusal: null } : null);

  const chunk = (choices: readonly object[]) => ({
    ...common,
    object: 'chat.completion.chunk',
    choices,
    ...(head.includeUsage ? { usage: null } : {}),
  });
  const choiceChunk = (
    index: number,
    delta: object,
    logprobs: object | null,
    finishReason: string | null = null,
  ) => chunk([{ index, delta, logprobs, finish_reason: finishReason }]);

  const chunks = (event: AnswerEvent): readonly object[] => {
    if (event.kind === 'started') {
      // Whether there will be content shows only later, where there may be calls instead.
      const content = parts.maySplit ? null : '';
      return [choiceChunk(event.choice, { role: 'assistant', content, refusal: null }, null)];
    }
    const logprob = chatLogprob(event);
    const deltas: object[] = parts.of(event).flatMap(deltasOf);
    if (deltas.length === 0 && logprob !== undefined) deltas.push(parts.maySplit ? {} : { content: '' });
    // A token is told of once, with the first that it brought.
    const told = deltas.map((delta, position) =>
      choiceChunk(event.choice, delta, position === 0 && logprob ? logprobsOf([logprob]) : null),
    );
    if (event.kind === 'finished') {
      const reason = parts.finishReason(event.choice, event.reason);
      told.push(choiceChunk(event.choice, {}, null, reason));
    }
    return told;
  };

  return {
    wire: 'bare',
    chunks,
    lastChunks: (usage) => (head.includeUsage ? [{ ...chunk([]), usage }] : []),
    failureChunk: failureBody,
    whole: (events, usage) => ({
      ...common,
      object: 'chat.completion',
      choices: gatherChoices(head, events, chatLogprob).map((choice) => ({
        index: choice.index,
        message: messageOf(choice),
        logprobs: logprobsOf(choice.logprobs),
        finish_reason: choice.finishReason,
      })),
      usage,
    }),
  };
}
