import { createChatFormat } from '../../gateway/responses/chat.ts';
import { createCompletionFormat } from '../../gateway/responses/completions.ts';
import type { CompletionKind } from '../../gateway/routes/generate.ts';
import { parseChat } from '../../gateway/schema/chat.ts';
import { parseCompletion } from '../../gateway/schema/completions.ts';
import type { BatchEndpoint } from '../batch.ts';

/** How a line's request is read and answered: as one that is sent to the endpoint itself. */
export const ENDPOINT_KINDS: Readonly<Record<BatchEndpoint, CompletionKind>> = {
  '/v1/chat/completions': { parse: parseChat, promptField: 'messages', createFormat: createChatFormat },
  '/v1/completions': { parse: parseCompletion, promptField: 'prompt', createFormat: createCompletionFormat },
};
