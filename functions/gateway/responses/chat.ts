import { failureBody } from '../errors.ts';
import type { AnswerEvent } from '../generation/journal.ts';
import { type AnswerFormat, type AnswerHead, gatherChoices } from './format.ts';
import { chatLogprob } from './logprobs.ts';

/** `chat.completion` and `chat.completion.chunk` objects. */
export function createChatFormat(head: AnswerHead): AnswerFormat {
  const common = { id: `chatcmpl-${head.requestId}`, created: head.created, model: head.model };
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
      return [choiceChunk(event.choice, { role: 'assistant', content: '', refusal: null }, null)];
    }
    const logprob = chatLogprob(event);
    const told: object[] = [];
    if (event.text !== '' || logprob !== undefined) {
      told.push(choiceChunk(event.choice, { content: event.text }, logprob ? logprobsOf([logprob]) : null));
    }
    if (event.kind === 'finished') told.push(choiceChunk(event.choice, {}, null, event.reason));
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
      choices: gatherChoices(head.choices, events, chatLogprob).map((choice) => ({
        index: choice.index,
        message: { role: 'assistant', content: choice.text, refusal: null },
        logprobs: logprobsOf(choice.logprobs),
        finish_reason: choice.finishReason,
      })),
      usage,
    }),
  };
}
