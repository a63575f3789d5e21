import type { RequestFailure } from '../../../shared/protocol/token-event.ts';
import type { AnswerEvent, Usage } from '../generation/journal.ts';
import { type AnswerFormat, type AnswerHead, gatherChoices } from './format.ts';
import { chatLogprob } from './logprobs.ts';

const NO_MORE_TOKENS = { reason: 'max_output_tokens' };

const usageOf = (usage: Usage) => ({
  input_tokens: usage.prompt_tokens,
  input_tokens_details: usage.prompt_tokens_details,
  output_tokens: usage.completion_tokens,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: usage.total_tokens,
});

/** `response` objects of OpenAI's Responses API, and the events of its streams. A response has one message of one part. */
export function createResponsesFormat(head: AnswerHead): AnswerFormat {
  const item = `msg_${head.requestId}`;
  const at = { item_id: item, output_index: 0, content_index: 0 };
  let text = '';
  let logprobs: object[] = [];
  let isIncomplete = false;
  let sequence = 0;

  const event = (type: string, fields: object) => ({ type, sequence_number: sequence++, ...fields });
  const part = () => ({ type: 'output_text', text, annotations: [], logprobs });
  const message = (status: string, content: readonly object[]) => ({
    id: item,
    type: 'message',
    status,
    role: 'assistant',
    content,
  });
  const response = (
    status: string,
    output: readonly object[],
    usage: Usage | null,
    error: object | null = null,
  ) => ({
    id: `resp_${head.requestId}`,
    object: 'response',
    created_at: head.created,
    status,
    error,
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

  const begin = (): readonly object[] => [
    event('response.created', { response: response('in_progress', [], null) }),
    event('response.in_progress', { response: response('in_progress', [], null) }),
    event('response.output_item.added', { output_index: 0, item: message('in_progress', []) }),
    event('response.content_part.added', { ...at, part: part() }),
  ];

  const chunks = (told: AnswerEvent): readonly object[] => {
    if (told.kind === 'started') return begin();
    const logprob = chatLogprob(told);
    const own = logprob === undefined ? [] : [logprob];
    if (told.kind === 'finished') isIncomplete = told.reason === 'length';
    if (told.text === '' && own.length === 0) return [];
    text += told.text;
    logprobs.push(...own);
    return [event('response.output_text.delta', { ...at, delta: told.text, logprobs: own })];
  };

  const lastChunks = (usage: Usage): readonly object[] => {
    const whole = message(endStatus(), [part()]);
    return [
      event('response.output_text.done', { ...at, text, logprobs }),
      event('response.content_part.done', { ...at, part: part() }),
      event('response.output_item.done', { output_index: 0, item: whole }),
      event(`response.${endStatus()}`, { response: response(endStatus(), [whole], usage) }),
    ];
  };

  return {
    wire: 'named',
    chunks,
    lastChunks,
    failureChunk: ({ code, message: words, param }: RequestFailure) =>
      event('error', { code, message: words, param }),
    whole(events, usage) {
      const [choice] = gatherChoices(1, events, chatLogprob);
      text = choice!.text;
      logprobs = [...choice!.logprobs];
      isIncomplete = choice!.finishReason === 'length';
      return response(endStatus(), [message(endStatus(), [part()])], usage);
    },
  };
}
