import fs from 'node:fs';
import { JanusError } from '../../shared/errors/janus-error.ts';

/** The largest tokenizers have some 35 MB; a file beyond this limit is not one that a model folder holds. */
const MAX_JSON_BYTES = 256 * 1024 * 1024;

/**
 * Content of a JSON file of a model folder.
 *
 * @throws JanusError that names the file if it is missing, too large or not JSON
 */
export function readJsonFile(path: string): unknown {
  const content = readOptionalJsonFile(path);
  if (content === undefined) {
    throw new JanusError(
      `${path} does not exist: a model folder must hold it, as the model's Hugging Face repository does`,
    );
  }
  return content;
}

/** As `readJsonFile`, but `undefined` if there is no such file. */
export function readOptionalJsonFile(path: string): unknown {
  const text = readOptionalTextFile(path);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new JanusError(`${path} is not valid JSON: ${(cause as Error).message}`, { cause });
  }
}

/**
 * Text of a file of a model folder, `undefined` if there is no such file.
 *
 * @throws JanusError that names the file if it is too large or cannot be read
 */
export function readOptionalTextFile(path: string): string | undefined {
  try {
    const stat = fs.statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return undefined;
    if (stat.size > MAX_JSON_BYTES) {
      throw new JanusError(`${path} has ${stat.size} bytes, and at most ${MAX_JSON_BYTES} are read`);
    }
    return fs.readFileSync(path, 'utf8');
  } catch (cause) {
    if (cause instanceof JanusError) throw cause;
    throw new JanusError(`${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
}
