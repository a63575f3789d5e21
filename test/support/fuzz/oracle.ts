/** An answer that was read to its end. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** What a gateway may answer besides success, with Redis and a pool that work. */
const REFUSALS: ReadonlySet<number> = new Set([400, 401, 404, 405, 409, 413, 429]);
/** The server's own errors that are no defects: they say what there was too much of. */
const DECLARED_ERRORS: ReadonlySet<string> = new Set(['503 overloaded']);
/** Answers that are to say when to come again. */
const LATER: ReadonlySet<number> = new Set([429, 503]);

/** Longest answer to a refused request: however much was sent, little of it is repeated. */
const MAX_REFUSAL_LENGTH = 2_000;
/** What tells of the inside: paths, stacks, addresses with passwords. */
const INSIDE = /node_modules|\.ts:\d|redis:\/\/|\n\s+at /;

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const isTextOrNull = (value: unknown): boolean => value === null || typeof value === 'string';
const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;

/** What is wrong with an error object; undefined where it is OpenAI's. */
export function problemOfError(text: string): string | undefined {
  const body = parsed(text);
  const error = isObject(body) ? body.error : undefined;
  if (!isObject(error)) return 'is no error object';
  const { message, type, param, code } = error;
  if (typeof message !== 'string' || message === '' || !message.isWellFormed()) return 'has no message';
  if (typeof type !== 'string' || type === '') return 'has no type';
  if (!isTextOrNull(param) || !isTextOrNull(code)) return 'has a param or code of another type';
  return undefined;
}

function problemOfRefusal({ status, headers, text }: Answer): string | undefined {
  const problem = problemOfError(text);
  if (problem !== undefined) return problem;
  const { code } = (parsed(text) as { error: { code: string | null } }).error;
  if (!REFUSALS.has(status) && !DECLARED_ERRORS.has(`${status} ${code}`)) return 'is not declared';
  if (!headers.get('content-type')?.startsWith('application/json')) return 'does not call itself JSON';
  if (status === 405 && !headers.get('allow')) return 'does not say what is allowed';
  if (LATER.has(status) && !headers.get('retry-after')) return 'does not say when to try again';
  if (text.length > MAX_REFUSAL_LENGTH) return `has ${text.length} characters`;
  if (INSIDE.test(text)) return 'tells of the inside';
  return undefined;
}

/** Whether a stream ended as such streams do, each of its events being JSON. */
function problemOfStream(text: string): string | undefined {
  const events = text.split('\n').filter((line) => line.startsWith('data: '));
  const data = events.map((line) => line.slice('data: '.length));
  const last = data.at(-1);
  const objects = data.filter((one) => one !== '[DONE]').map(parsed);
  if (objects.includes(undefined)) return 'holds an event that is no JSON';
  const isWhole = last === '[DONE]' || /"type":"response\.(completed|incomplete)"/.test(last ?? '');
  return isWhole ? undefined : 'has no end';
}

function problemOfSuccess({ status, headers, text }: Answer): string | undefined {
  if (status === 204) return text === '' ? undefined : 'has a body';
  const type = headers.get('content-type') ?? '';
  if (type.startsWith('text/event-stream')) return problemOfStream(text);
  if (type.startsWith('application/json')) return parsed(text) === undefined ? 'is no JSON' : undefined;
  return text === '' ? 'is empty' : undefined;
}

/** What is wrong with an answer; undefined where nothing is. @param method of the request */
export function problemOf(method: string, answer: Answer): string | undefined {
  const { status, headers } = answer;
  if (!/^[0-9a-f]{32}$/.test(headers.get('x-request-id') ?? '')) return 'has no request id';
  if (method === 'HEAD') return answer.text === '' ? undefined : 'has a body';
  if (status >= 200 && status < 300) return problemOfSuccess(answer);
  return problemOfRefusal(answer);
}
