/** Bounds of single fields of a request. Those that OpenAI documents have OpenAI's values. */
export const MAX_MESSAGES = 2_048;
export const MAX_CONTENT_PARTS = 256;
export const MAX_STOP_TEXTS = 4;
export const MAX_STOP_TOKEN_IDS = 128;
export const MAX_LOGIT_BIASES = 1_024;
/** Alternatives reported per token. */
export const MAX_TOP_LOGPROBS = 20;
/** `n`: choices per prompt. */
export const MAX_CHOICES_PER_PROMPT = 16;
/** Prompts × n. */
export const MAX_CHOICES = 128;
/** Beyond these, logits would lose all precision or overflow. */
export const MIN_REPETITION_PENALTY = 0.01;
export const MAX_REPETITION_PENALTY = 100;
/** Temperatures below this overflow logits and mean greedy anyway. */
export const GREEDY_TEMPERATURE = 1e-5;
/** What OpenAI's text completions generate where `max_tokens` is absent. */
export const DEFAULT_COMPLETION_TOKENS = 16;
/** Entries of `metadata`. */
export const MAX_METADATA = 16;
/** Entries of `include`. */
export const MAX_INCLUDES = 64;
/** Functions that a request describes. */
export const MAX_TOOLS = 128;
/** Calls in one message of a conversation. */
export const MAX_TOOL_CALLS = 128;
/** Objects and lists inside each other in the arguments of a call. */
export const MAX_ARGUMENT_LEVELS = 128;
