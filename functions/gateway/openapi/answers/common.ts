import { z } from 'zod';

/** Unix time in seconds. */
export const time = z.int().describe('Unix time in seconds.');

export const list = <Item extends z.ZodType>(item: Item) =>
  z.object({ object: z.literal('list'), data: z.array(item) });

/** One page of a longer list. */
export const page = <Item extends z.ZodType>(item: Item) =>
  list(item).extend({
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
    has_more: z.boolean().describe('Whether there are items behind `last_id`.'),
  });

/** OpenAI's error object. */
export const errorAnswer = z.object({
  error: z.object({
    message: z.string(),
    type: z.string().describe('`invalid_request_error`, `server_error`, or the limit that was reached.'),
    param: z.string().nullable().describe('The field that is wrong, where one is.'),
    code: z.string().nullable(),
  }),
});
