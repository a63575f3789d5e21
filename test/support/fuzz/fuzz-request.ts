import { createDraw, type Draw } from './draw.ts';
import { HOSTILE_VALUES } from './hostile-values.ts';
import { mutatedJson, withTwin } from './mutate-json.ts';
import { type FormField, GENERATIONS, type Seed } from './seeds.ts';

/** A request as it is sent. */
export interface FuzzRequest {
  readonly method: string;
  /** With its query. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array<ArrayBuffer> | null;
}

/** Share of requests that ask for a generation. */
const GENERATION_SHARE = 0.7;
const BOUNDARY = 'fuzz-boundary';

const METHODS = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD', 'QUERY', 'PROPFIND', 'X'];
const PATH_PIECES = [
  ...['/', '//', '/.', '/..', '/%2e%2e', '%', '%zz', '%00', '%2F', '%E0%A4%A', '%ff', '\\', ';a=b', ':', '*'],
  ...['/__proto__', '/constructor', '/v1', '/content', '/cancel', '/é', '/%F0%9F%98%80', ' ', '~', '@'],
  `/${'a'.repeat(5_000)}`,
];
const CONTENT_TYPES = [
  ...['', 'text/plain', 'application/json; charset=utf-16', 'multipart/form-data', 'application/xml'],
  ...['multipart/form-data; boundary=', 'multipart/form-data; boundary="', 'application/octet-stream', ';'],
  `multipart/form-data; boundary=${'b'.repeat(200)}`,
];
const ODD_HEADERS: readonly (readonly [string, string])[] = [
  ...['', 'Bearer', 'Bearer x', 'Basic eDp5', `Bearer sk-janus-${'0'.repeat(16)}-${'0'.repeat(64)}`].map(
    (value) => ['Authorization', value] as const,
  ),
  ...['0', '-1', 'abc', '1e3', '99999999999', ' 7', '0x10'].map(
    (value) => ['Content-Length', value] as const,
  ),
  ...CONTENT_TYPES.map((value) => ['Content-Type', value] as const),
  ['Content-Encoding', 'gzip'],
  ['Transfer-Encoding', 'chunked'],
  ['Accept', 'text/html'],
  ['Accept-Encoding', 'br;q=9'],
  ['Range', 'bytes=5-1'],
  ['If-None-Match', '*'],
  ['Origin', 'null'],
  ['Access-Control-Request-Method', 'POST'],
  ['X-HTTP-Method-Override', 'DELETE'],
  ['X-Request-Id', '../../x'],
  ['X-Forwarded-For', '::1, 127.0.0.1'],
  ['Traceparent', '00-zz-00-01'],
  ...['-1', 'x', '', `${'0'.repeat(32)}.5`, '__proto__'].map((value) => ['Last-Event-ID', value] as const),
  ...['true', 'false', 'maybe'].map((value) => ['X-Resumable', value] as const),
  ...['0', '-1', '1e9', 'NaN', '30', '999999999'].map((value) => ['X-Request-Timeout', value] as const),
  ['__proto__', 'polluted'],
  ['constructor', 'polluted'],
  ['Cookie', '__proto__=1; a'],
  ['X-Long', 'x'.repeat(8_000)],
  ['X-Latin', '\u00e9\u00ff'],
];
const QUERY_NAMES = ['limit', 'after', 'order', 'purpose', '__proto__', 'constructor', 'limit[]', 'a[b]', ''];
const RAW_QUERIES = [
  '?%',
  '?%zz=%',
  '?&&&=',
  '?limit',
  '?limit=1&limit=2',
  '?a=%ff%00',
  '?__proto__[x]=1',
  '#a',
];

const text = new TextEncoder();

function formText(fields: readonly FormField[]): string {
  const parts = fields.map(({ name, filename, value }) => {
    const file = filename === undefined ? '' : `; filename="${filename}"`;
    return `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"${file}\r\n\r\n${value}\r\n`;
  });
  return `${parts.join('')}--${BOUNDARY}--\r\n`;
}

const FORM_SPLICES = [
  ...[
    '\r\n',
    '\r\n\r\n',
    '--',
    `--${BOUNDARY}`,
    `\r\n--${BOUNDARY}--`,
    '"',
    '\u0000',
    '; filename="../../x"',
  ],
  ...['name="__proto__"', 'X: y\r\n', 'x'.repeat(5_000), `--${BOUNDARY}\r\n\r\n`.repeat(40), '\n'],
];

function mutatedForm(fields: readonly FormField[], times: number, draw: Draw): string {
  const kept = draw.chance(0.2) ? fields.filter(() => draw.chance(0.5)) : fields;
  let form = formText(draw.chance(0.2) ? [...kept, draw.pick(fields)] : kept);
  for (let count = 0; count < times; count++) {
    const at = draw.below(form.length + 1);
    const cut = draw.chance(0.5) ? draw.below(30) : 0;
    form = form.slice(0, at) + draw.pick(FORM_SPLICES) + form.slice(at + cut);
  }
  return form;
}

/** Bytes that no longer are what they were: cut off, doubled, or no UTF-8. */
function damaged(bytes: Uint8Array<ArrayBuffer>, draw: Draw): Uint8Array<ArrayBuffer> {
  const at = draw.below(bytes.length + 1);
  const [before, behind] = [bytes.subarray(0, at), bytes.subarray(at)];
  switch (draw.below(4)) {
    case 0:
      return before;
    case 1:
      return Uint8Array.from([...before, draw.below(256), ...behind]);
    case 2:
      return Uint8Array.from([...before, ...behind.subarray(0, 50), ...behind]);
    default:
      return Uint8Array.from([0xef, 0xbb, 0xbf, ...bytes]);
  }
}

function mutatedTarget({ path, query = {} }: Seed, draw: Draw): string {
  let target = path;
  if (draw.chance(0.06)) {
    const at = 1 + draw.below(path.length);
    target = path.slice(0, at) + draw.pick(PATH_PIECES) + path.slice(at + draw.below(4));
  }
  const parameters = new URLSearchParams(query);
  if (draw.chance(Object.keys(query).length > 0 ? 0.7 : 0.03)) {
    parameters.append(draw.pick(QUERY_NAMES), String(JSON.stringify(draw.pick(HOSTILE_VALUES))));
    for (const name of Object.keys(query)) {
      if (draw.chance(0.4)) parameters.set(name, `${draw.pick(HOSTILE_VALUES)}`);
    }
  }
  const search = parameters.size === 0 ? '' : `?${parameters}`;
  return target + (draw.chance(0.02) ? draw.pick(RAW_QUERIES) : search);
}

function bodyOf(seed: Seed, draw: Draw): Uint8Array<ArrayBuffer> | null {
  const times = draw.chance(0.03) ? 0 : 1 + draw.below(4);
  let content: string;
  if (seed.form !== undefined) content = mutatedForm(seed.form, times - 1, draw);
  else if (seed.json !== undefined) content = mutatedJson(seed.json, times, draw);
  else return null;
  if (draw.chance(0.05)) content = withTwin(content, draw);
  const bytes = text.encode(content);
  return draw.chance(0.05) ? damaged(bytes, draw) : bytes;
}

/**
 * Request number `index` of those that `seed` makes, always the same.
 *
 * @param others valid requests besides those that generate
 */
export function fuzzRequest(others: readonly Seed[], seed: number, index: number): FuzzRequest {
  const draw = createDraw(seed, index);
  const from = draw.pick(draw.chance(GENERATION_SHARE) ? GENERATIONS : others);
  const method = draw.chance(0.03) ? draw.pick(METHODS) : from.method;
  const takesBody = method !== 'GET' && method !== 'HEAD';
  const body = takesBody ? bodyOf(from, draw) : null;
  const type = from.form === undefined ? 'application/json' : `multipart/form-data; boundary=${BOUNDARY}`;
  const headers: Record<string, string> = { 'Content-Type': type };
  if (body !== null && draw.chance(0.9)) headers['Content-Length'] = String(body.length);
  if (draw.chance(0.1)) {
    const [name, value] = draw.pick(ODD_HEADERS);
    // Not an assignment: that of `__proto__` would be none.
    Object.defineProperty(headers, name, { value, enumerable: true, configurable: true, writable: true });
  }
  return { method, target: mutatedTarget(from, draw), headers, body };
}
