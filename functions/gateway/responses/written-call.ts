/** A call as a model has written it. */
export interface WrittenCall {
  readonly name: string;
  /** The JSON object of the arguments, to the letter: a number in it may have more digits than JavaScript keeps. */
  readonly arguments: string;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** @returns the call that a text is; null where it is none of a function that may be called */
export function callIn(json: string, callable: ReadonlySet<string>): WrittenCall | null {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return null;
  }
  if (!isObject(value) || typeof value.name !== 'string' || !callable.has(value.name)) return null;
  return isObject(value.arguments) ? { name: value.name, arguments: memberText(json, 'arguments') } : null;
}

/** Strings, and what gives JSON its form. */
const TOKENS = /"(?:[^"\\]+|\\.)*"|[{}[\]:,]/gs;

/** The text of a member of a valid JSON object that has it; of several of this name, the last one's, as `JSON.parse` has it. */
function memberText(json: string, name: string): string {
  let text = '';
  let depth = 0;
  let before = '';
  let start = -1;
  for (const { 0: token, index } of json.matchAll(TOKENS)) {
    if (depth === 1 && token === ':') start = JSON.parse(before) === name ? index + 1 : -1;
    if (depth === 1 && (token === ',' || token === '}') && start >= 0) text = json.slice(start, index).trim();
    if (token === '{' || token === '[') depth += 1;
    if (token === '}' || token === ']') depth -= 1;
    before = token;
  }
  return text;
}
