import type { RequestFailure } from '../../../shared/protocol/token-event.ts';
import type { AnswerEvent, Usage } from '../generation/journal.ts';
import type { AnswerFormat, AnswerHead } from './format.ts';
import { OutputItems, type StreamEvent } from './output-items.ts';

const NO_MORE_TOKENS = { reason: 'max_output_tokens' };

const usageOf = (usage: Usage) => ({
  input_tokens: usage.prompt_tokens,
  input_tokens_details: usage.prompt_tokens_details,
  output_tokens: usage.completion_tokens,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: usage.total_tokens,
});

/** `response` objects of OpenAI's Responses API, and the events of its streams. */
export function createResponsesFormat(head: AnswerHead): AnswerFormat {
  const items = new OutputItems(head);
  let isIncomplete = false;
  let sequence = 0;

  const event = ({ type, ...fields }: StreamEvent) => ({ type, sequence_number: sequence++, ...fields });
  const response = (status: string, output: readonly object[], usage: Usage | null) => ({
    id: `resp_${head.requestId}`,
    object: 'response',
    created_at: head.created,
    status,
    error: null,
    incomplete_details: status === 'incomplete' ? NO_MORE_TOKENS : null,
    model: head.model,
    output,
    parallel_tool_calls: true,
    previous_response_id: null,
    store: false,
    tool_choice: 'auto',
    tools: [],
    truncation: 'disabled',
    usage: usage && usageOf(usage),
    ...head.echo,
  });
  const endStatus = () => (isIncomplete ? 'incomplete' : 'completed');

  const begin = (): StreamEvent[] => [
    { type: 'response.created', response: response('in_progress', [], null) },
    { type: 'response.in_progress', response: response('in_progress', [], null) },
    ...items.begin(),
  ];

  const eventsOf = (told: AnswerEvent): StreamEvent[] => {
    if (told.kind === 'started') return begin();
    if (told.kind === 'finished') isIncomplete = told.reason === 'length';
    return items.add(told);
  };

  return {
    wire: 'named',
    chunks: (told) => eventsOf(told).map(event),
    lastChunks(usage) {
      const closed = items.end(endStatus());
      const whole = response(endStatus(), items.whole, usage);
      return [...closed, { type: `response.${endStatus()}`, response: whole }].map(event);
    },
    failureChunk: ({ code, message, param }: RequestFailure) =>
      event({ type: 'error', code, message, param }),
    whole(events, usage) {
      for (const told of events) eventsOf(told);
      items.end(endStatus());
      return response(endStatus(), items.whole, usage);
    },
  };
}
