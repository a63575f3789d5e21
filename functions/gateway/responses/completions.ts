import { failureBody } from '../errors.ts';
import type { AnswerEvent } from '../generation/journal.ts';
import { type AnswerFormat, type AnswerHead, gatherChoices } from './format.ts';
import { textLogprob, textLogprobs } from './logprobs.ts';

/** `text_completion` objects, whole and in chunks. */
export function createCompletionFormat(head: AnswerHead): AnswerFormat {
  const common = {
    id: `cmpl-${head.requestId}`,
    object: 'text_completion',
    created: head.created,
    model: head.model,
    ...head.echo,
  };
  /** Characters of each choice's text that were told in log probabilities so far. */
  const offsets = new Array<number>(head.choices).fill(0);

  const chunk = (choices: readonly object[]) => ({
    ...common,
    choices,
    ...(head.includeUsage ? { usage: null } : {}),
  });

  const chunks = (event: AnswerEvent): readonly object[] => {
    if (event.kind === 'started') return [];
    const finishReason = event.kind === 'finished' ? event.reason : null;
    const token = textLogprob(event);
    if (event.text === '' && token === undefined && finishReason === null) return [];
    const logprobs = token === undefined ? null : textLogprobs([token], offsets[event.choice]);
    offsets[event.choice] += token?.length ?? 0;
    return [chunk([{ index: event.choice, text: event.text, logprobs, finish_reason: finishReason }])];
  };

  return {
    wire: 'bare',
    chunks,
    lastChunks: (usage) => (head.includeUsage ? [{ ...chunk([]), usage }] : []),
    failureChunk: failureBody,
    whole: (events, usage) => ({
      ...common,
      choices: gatherChoices(head, events, textLogprob).map((choice) => ({
        index: choice.index,
        text: choice.text,
        logprobs: head.logprobs ? textLogprobs(choice.logprobs, 0) : null,
        finish_reason: choice.finishReason,
      })),
      usage,
    }),
  };
}
