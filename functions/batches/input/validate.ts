import type { BatchError } from '../batch.ts';
import { REPORTED_ERRORS } from '../limits.ts';
import { type BatchLine, LineError, type LineRules, parseBatchLine } from './parse-line.ts';
import type { RawLine } from './read-lines.ts';

export interface InputRules extends LineRules {
  /** Whether there is such a model and the batch's owner may use it. */
  readonly knowsModel: (model: string) => Promise<boolean>;
}

export interface Validation {
  /** Requests in the file. */
  readonly total: number;
  /** The first of them; the file is valid when there are none. */
  readonly errors: readonly BatchError[];
}

/** What is wrong with a line that is valid by itself; undefined when nothing is. */
async function errorBesideOthers(
  { number: line, customId, model }: BatchLine,
  lineOfId: Map<string, number>,
  knowsModel: InputRules['knowsModel'],
): Promise<BatchError | undefined> {
  const first = lineOfId.get(customId);
  if (first !== undefined) {
    const message = `Invalid 'custom_id': line ${first} has the same`;
    return { code: 'duplicate_custom_id', line, message, param: 'custom_id' };
  }
  lineOfId.set(customId, line);
  if (await knowsModel(model)) return undefined;
  return { code: 'model_not_found', line, message: 'The model does not exist', param: 'body.model' };
}

/**
 * Checks the lines of a batch's input file.
 *
 * @throws what `knowsModel` throws
 */
export async function validateInput(lines: AsyncIterable<RawLine>, rules: InputRules): Promise<Validation> {
  const lineOfId = new Map<string, number>();
  const errors: BatchError[] = [];
  let total = 0;
  for await (const raw of lines) {
    total += 1;
    try {
      const error = await errorBesideOthers(parseBatchLine(raw, rules), lineOfId, rules.knowsModel);
      if (error !== undefined) errors.push(error);
    } catch (error) {
      if (!(error instanceof LineError)) throw error;
      errors.push(error.error);
    }
    if (errors.length === REPORTED_ERRORS) break;
  }
  if (total === 0) {
    errors.push({ code: 'empty_file', line: null, message: 'The input file holds no requests', param: null });
  }
  return { total, errors };
}
