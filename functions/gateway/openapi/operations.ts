import type { Operation } from './operation.ts';
import { BATCHES, FILES } from './operations/batches.ts';
import { GENERATION } from './operations/generation.ts';
import { MODELS, SERVICE, UNAVAILABLE } from './operations/service.ts';
import { TOKENIZER } from './operations/tokenizer.ts';

/** Everything that the gateway answers, in the order of the document. */
export const OPERATIONS: readonly Operation[] = [
  ...GENERATION,
  ...TOKENIZER,
  ...MODELS,
  ...FILES,
  ...BATCHES,
  ...SERVICE,
  ...UNAVAILABLE,
];
