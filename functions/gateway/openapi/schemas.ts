import type { z } from 'zod';
import { batchSchema } from '../schema/batches.ts';
import { chatSchema } from '../schema/chat.ts';
import { completionSchema } from '../schema/completions.ts';
import { responsesSchema } from '../schema/responses.ts';
import { detokenizeSchema, tokenizeSchema } from '../schema/tokenization.ts';
import { batch, batchPage, deletedFile, file, filePage } from './answers/batches.ts';
import { errorAnswer } from './answers/common.ts';
import { chatCompletion, completion, response } from './answers/generation.ts';
import { detokenization, health, model, modelList, readiness, tokenization } from './answers/service.ts';

/** All schemas of the document, by name. Those of requests are the very ones that the routes check with. */
export const SCHEMAS = {
  ChatCompletionRequest: chatSchema,
  ChatCompletion: chatCompletion,
  CompletionRequest: completionSchema,
  Completion: completion,
  ResponseRequest: responsesSchema,
  Response: response,
  TokenizeRequest: tokenizeSchema,
  Tokenization: tokenization,
  DetokenizeRequest: detokenizeSchema,
  Detokenization: detokenization,
  Model: model,
  ModelList: modelList,
  File: file,
  FilePage: filePage,
  DeletedFile: deletedFile,
  BatchRequest: batchSchema,
  Batch: batch,
  BatchPage: batchPage,
  Health: health,
  Readiness: readiness,
  Error: errorAnswer,
} satisfies Record<string, z.ZodType>;

export type SchemaName = keyof typeof SCHEMAS;

export const schemaReference = (name: SchemaName) => ({ $ref: `#/components/schemas/${name}` });
