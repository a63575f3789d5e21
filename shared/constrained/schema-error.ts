import { JanusError } from '../errors/janus-error.ts';

/** A schema's own text in an error is cut to this many UTF-16 units. */
const SHOWN_LENGTH = 100;

const shorten = (text: string): string =>
  (text.length > SHOWN_LENGTH ? `${text.slice(0, SHOWN_LENGTH)}…` : text).toWellFormed();

/** A JSON Schema that is wrong or asks for what is not supported. */
export class SchemaError extends JanusError {
  override readonly name: string = 'SchemaError';
  /** Where in the schema: a JSON pointer as a URI fragment, `#` for its root. */
  readonly pointer: string;
  /** The keyword that is wrong; null where the schema as a whole is. */
  readonly keyword: string | null;

  /** @param problem what is wrong and what to do, as the end of a sentence that begins with the keyword */
  constructor(pointer: string, keyword: string | null, problem: string) {
    const subject = keyword === null ? 'the schema' : `'${shorten(keyword)}'`;
    super(`${subject} at ${shorten(pointer)} ${problem}`);
    this.pointer = pointer;
    this.keyword = keyword;
  }
}

/** A value of the schema's as an error may show it. */
export const shownValue = (value: unknown): string => shorten(JSON.stringify(value) ?? String(value));
