import type { CompletionKind } from '../../gateway/routes/generate.ts';
import { parseChat } from '../../gateway/schema/chat.ts';
import { parseCompletion } from '../../gateway/schema/completions.ts';
import { parseResponses } from '../../gateway/schema/responses.ts';
import type { BatchEndpoint } from '../batch.ts';

/** How a line's request is read and answered: as one that is sent to the endpoint itself. */
export const ENDPOINT_KINDS: Readonly<Record<BatchEndpoint, CompletionKind>> = {
  '/v1/chat/completions': { parse: parseChat, promptField: 'messages', answers: 'chat' },
  '/v1/completions': { parse: parseCompletion, promptField: 'prompt', answers: 'completion' },
  '/v1/responses': { parse: parseResponses, promptField: 'input', answers: 'response' },
};
