import { createDraw, type Draw } from '../fuzz/draw.ts';
import { CHAT } from '../gateway/keyed-bed.ts';
import type { Shape } from './raw-client.ts';

type Template = (draw: Draw) => Omit<Shape, 'name'>;

const CHAT_PATH = '/v1/chat/completions';
const CHAT_BODY = JSON.stringify({ ...CHAT, max_tokens: 2 });
const FORM_TYPE = 'Content-Type: multipart/form-data; boundary=b';
const FILE_HEAD = '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n';
const PURPOSE = '--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n';
const CLOSE = 'Connection: close';

/** The bytes of a request; `head` are its lines but for `Host`. Characters are bytes. */
function http(line: string, head: readonly string[] = [CLOSE], body = ''): Buffer {
  return Buffer.from([line, 'Host: a', ...head, '', body].join('\r\n'), 'latin1');
}

const get = (target: string, ...head: readonly string[]): Buffer =>
  http(`GET ${target} HTTP/1.1`, [CLOSE, ...head]);
const post = (head: readonly string[], body: string, path = CHAT_PATH): Buffer =>
  http(`POST ${path} HTTP/1.1`, [CLOSE, ...head], body);
const sized = (body: string, length = body.length): Buffer => post([`Content-Length: ${length}`], body);
const chunked = (chunks: string, path = CHAT_PATH, ...head: readonly string[]): Buffer =>
  post(['Transfer-Encoding: chunked', ...head], chunks, path);
const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
const upload = (body: string, type = FORM_TYPE): Buffer =>
  post([type, `Content-Length: ${body.length}`], body, '/v1/files');
const raw = (text: string): Buffer => Buffer.from(text, 'latin1');
const one = (piece: Buffer): Omit<Shape, 'name'> => ({ pieces: [piece] });

function cut(bytes: Buffer, draw: Draw): readonly Buffer[] {
  const at = draw.below(bytes.length);
  return [bytes.subarray(0, at), bytes.subarray(at)];
}

const BODIES: readonly string[] = [
  ...[
    '',
    '{',
    'null',
    '[]',
    '"',
    '\xff\xfe',
    '{"a":"\xc0\x80"}',
    '\0',
    '{"\xed\xa0\x80":1}',
    '\xef\xbb\xbf{}',
  ],
  '['.repeat(100_000),
  `${'['.repeat(100_000)}${']'.repeat(100_000)}`,
  '{"a":'.repeat(50_000),
  `{"messages":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
  `{"model":"${'\\u0000'.repeat(10_000)}"}`,
  `{"n":${'9'.repeat(100_000)}}`,
];
const CHUNKS: readonly string[] = [
  ...['zz\r\nab\r\n0\r\n\r\n', '-1\r\na\r\n0\r\n\r\n', 'ffffffffffffffff\r\na', '5\r\nab\r\n0\r\n\r\n'],
  ...['1\r\nabc\r\n0\r\n\r\n', '2;a=b;c="\0"\r\n{}\r\n0\r\n\r\n', '2\n{}\n0\n\n', '0x2\r\n{}\r\n0\r\n\r\n'],
  ...['\r\n\r\n', '2\r\n{}\r\n', '2\r\n{}\r\n0\r\n', '2 \r\n{}\r\n0\r\n\r\n', '+2\r\n{}\r\n0\r\n\r\n'],
  ...[`2;${'e'.repeat(20_000)}\r\n{}\r\n0\r\n\r\n`, `2\r\n{}\r\n0\r\nX: ${'t'.repeat(20_000)}\r\n\r\n`],
  ...[`${'0'.repeat(5_000)}2\r\n{}\r\n0\r\n\r\n`, `${chunk('{').repeat(2_000)}0\r\n\r\n`],
];
/** Two lengths, of which someone in between may believe the other one. */
const LENGTHS: readonly (readonly string[])[] = [
  ['Content-Length: 5', 'Transfer-Encoding: chunked'],
  ['Transfer-Encoding: chunked', 'Content-Length: 0'],
  ['Content-Length: 5', 'Content-Length: 6'],
  ['Content-Length: 5, 5'],
  ['Content-Length: +5'],
  ['Content-Length: -5'],
  ['Content-Length: 5e0'],
  ['Content-Length: 99999999999999999999'],
  ['Content-Length : 5'],
  ['Content-Length: 5\r\n 6'],
  ['Transfer-Encoding: xchunked'],
  ['Transfer-Encoding: chunked, identity'],
  ['Transfer-Encoding: identity', 'Content-Length: 5'],
  ['Transfer-Encoding : chunked'],
  ['Transfer-Encoding:\x0bchunked'],
  ['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'],
  ['Transfer-Encoding: gzip, chunked'],
  ['Content_Length: 5', 'Content-Length: 5'],
];
const TARGETS: readonly string[] = [
  ...['http://a/v1/models', 'https://b:1/health', 'http://', 'ftp://a/', '*', 'a:80', '', '//', '//evil/x'],
  ...['/%', '/%zz', '/%00', '/v1/%2e%2e/health', '/../../etc/passwd', '/v1/models/%E0%A4%A', '/\\..\\x'],
  ...['/a b', '/\xff\xfe', '/é', '/#a', '/?', `/?${'a=b&'.repeat(2_000)}`, '/v1//models', '/v1/models/'],
  ...[`/${'a'.repeat(10_000)}`, `/${'a'.repeat(20_000)}`, '/v1/models?__proto__[a]=1', '/v1/files/%2fetc'],
  ...['/v1/models/\x00', '/v1/batches?limit=1&limit=2&after=%ff', '/models/%ff/v1/models', '/v1/files?%'],
];
const HEADERS: readonly (readonly string[])[] = [
  ['Host: b'],
  ['Host: a/b?c'],
  ['Host: user@a'],
  ['Host:'],
  ['Authorization: Bearer a', 'Authorization: Bearer b'],
  ['Content-Type: a', 'Content-Type: b'],
  ['X: a\0b'],
  ['X: a\rb'],
  ['X: \xff\xfe\x80'],
  ['X\xff: a'],
  [': a'],
  ['X'],
  ['X Y: a'],
  ['__proto__: a', 'constructor: b'],
  [' folded: a'],
  [`X: ${'x'.repeat(15_000)}`],
  [`X: ${'x'.repeat(20_000)}`],
  [`${'x'.repeat(20_000)}: a`],
  Array.from({ length: 2_500 }, (_, index) => `${index}:`),
  Array.from({ length: 9_000 }, () => 'a:b'),
  ['Upgrade: websocket', 'Connection: upgrade', 'Sec-WebSocket-Key: AAAA'],
  ['Upgrade: h2c', 'Connection: Upgrade, HTTP2-Settings', 'HTTP2-Settings: AAA'],
  ['Connection: keep-alive, close, \0'],
  ['TE: trailers', 'Trailer: Host'],
  ['Range: bytes=0-0,-1', 'If-Range: "a"'],
  ['Accept-Encoding: gzip;q=0'],
];
const VERSIONS = [
  'HTTP/1.0',
  'HTTP/0.9',
  'HTTP/2.0',
  'HTTP/9.9',
  'http/1.1',
  'HTTP/1.1.1',
  'HTTP/1',
  '',
  'ICY',
];
const METHODS = ['HEAD', 'OPTIONS', 'TRACE', 'CONNECT', 'PATCH', 'get', 'GE T', '\0', 'A'.repeat(500), 'PRI'];
const FORMS: readonly string[] = [
  ...['', '--b--', '--b', '--b\r\n', '--b\r\n\r\n', '--c\r\n\r\n--c--', FILE_HEAD, `${FILE_HEAD}{}`, PURPOSE],
  ...[`${PURPOSE}${FILE_HEAD}{}\n\r\n--b--`, `${FILE_HEAD}{}\r\n--b--`, `${PURPOSE}--b--`],
  ...[`${PURPOSE.repeat(5_000)}--b--`, `--b\r\nX: ${'x'.repeat(50_000)}\r\n\r\n`, '--b\r\n'.repeat(20_000)],
  ...[`${PURPOSE}${FILE_HEAD.replace('"a"', `"${'../'.repeat(300)}x\0"`)}{}\n\r\n--b--`],
  ...[`${FILE_HEAD}${'\r\n--'.repeat(30_000)}`, `${FILE_HEAD}${'\n'.repeat(60_000)}\r\n--b--`],
  ...[`${FILE_HEAD}${'x'.repeat(200_000)}\r\n--b--`, 'x'.repeat(100_000), `${PURPOSE}--b\r\n\xff\xff`],
];
const FORM_TYPES = [
  ...['Content-Type: multipart/form-data', 'Content-Type: multipart/form-data; boundary=', 'X: y'],
  ...['Content-Type: multipart/form-data; boundary="', `${FORM_TYPE}${'b'.repeat(100)}`],
];

const TEMPLATES: readonly Template[] = [
  (draw) => one(sized(draw.chance(0.3) ? CHAT_BODY : draw.pick(BODIES))),
  (draw) =>
    one(sized(CHAT_BODY, draw.pick([0, 1, CHAT_BODY.length - 1, CHAT_BODY.length + 1, 50, 2_000_000]))),
  (draw) => one(post(draw.pick(LENGTHS), `5\r\n{"a"}\r\n0\r\n\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n`)),
  (draw) => one(chunked(draw.pick(CHUNKS))),
  (draw) => one(chunked(`${chunk(draw.pick(BODIES) || 'x')}0\r\n\r\n`)),
  (draw) => one(get(draw.pick(TARGETS))),
  (draw) => one(get('/v1/models', ...draw.pick(HEADERS), ...draw.pick(HEADERS))),
  (draw) => one(http(`GET /health ${draw.pick(VERSIONS)}`)),
  (draw) => one(http(`${draw.pick(METHODS)} /v1/models HTTP/1.1`)),
  () => one(raw('GET /health HTTP/1.0\r\n\r\n')),
  (draw) =>
    one(
      raw(
        get('/health')
          .toString('latin1')
          .replaceAll('\r\n', draw.pick(['\n', '\r', '\r\r\n', ''])),
      ),
    ),
  (draw) => ({ pieces: cut(sized(CHAT_BODY), draw) }),
  (draw) => ({ pieces: [cut(sized(CHAT_BODY), draw)[0]!], halfCloses: draw.chance(0.5) }),
  () => ({ pieces: [sized(CHAT_BODY)], halfCloses: true }),
  (draw) =>
    one(Buffer.concat(Array.from({ length: 1 + draw.below(12) }, () => http('GET /health HTTP/1.1', [])))),
  () => one(Buffer.concat([http('GET /health HTTP/1.1', []), raw('\0\0garbage\r\n\r\n')])),
  (draw) => ({
    pieces: [
      post(['Expect: 100-continue', `Content-Length: ${CHAT_BODY.length}`], ''),
      raw(draw.chance(0.5) ? CHAT_BODY : ''),
    ],
  }),
  (draw) =>
    one(post([`Expect: ${draw.pick(['x', '', '100-continue, 100-continue'])}`, 'Content-Length: 0'], '')),
  () => one(http('GET /v1/models HTTP/1.1', [CLOSE, 'Content-Length: 5'], 'hello')),
  () =>
    one(http('GET /v1/models HTTP/1.1', [CLOSE, 'Transfer-Encoding: chunked'], `${chunk('hello')}0\r\n\r\n`)),
  (draw) => one(upload(draw.pick(FORMS))),
  (draw) => one(upload(draw.pick(FORMS), draw.pick(FORM_TYPES))),
  (draw) => one(chunked(chunk(draw.pick(FORMS) || 'x'), '/v1/files', FORM_TYPE)),
  () => one(raw('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03')),
  () => one(raw('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')),
  (draw) => one(Buffer.from(Array.from({ length: 1 + draw.below(200) }, () => draw.below(256)))),
  (draw) =>
    one(
      http('DELETE /v1/files/file-x HTTP/1.1', [CLOSE, 'Content-Length: 3'], draw.pick(BODIES).slice(0, 3)),
    ),
];

const SPLICES = ['\r\n', '\r\n\r\n', '\n', '\0', ' ', '\xff', ':', '%', 'HTTP/1.1', 'Content-Length: 3\r\n'];

/** The same bytes with something put in, taken out, doubled or turned. */
function mutated(bytes: Buffer, draw: Draw): Buffer {
  // Mostly among the headers, which are few beside some bodies.
  const at = draw.below(Math.min(bytes.length, draw.chance(0.8) ? 300 : bytes.length) + 1);
  const [before, behind] = [bytes.subarray(0, at), bytes.subarray(at)];
  switch (draw.below(4)) {
    case 0:
      return Buffer.concat([before, raw(draw.pick(SPLICES)), behind]);
    case 1:
      return Buffer.concat([before, behind.subarray(draw.below(8))]);
    case 2:
      return Buffer.concat([before, behind.subarray(0, 40), behind]);
    default:
      return Buffer.concat([before, Buffer.from([draw.below(256)]), behind.subarray(1)]);
  }
}

/** Shape number `index` of those that `seed` makes, always the same. */
export function hostileShape(seed: number, index: number): Shape {
  const draw = createDraw(seed, index);
  const template = index % TEMPLATES.length;
  const shape = TEMPLATES[template]!(draw);
  const times = draw.pick([0, 0, 0, 1, 2]);
  let pieces = shape.pieces;
  for (let count = 0; count < times; count++) pieces = pieces.map((piece) => mutated(piece, draw));
  return { ...shape, pieces, name: `template ${template}` };
}

/** A request that is as it should be. */
export const SANE: Shape = { name: 'sane', pieces: [sized(CHAT_BODY)] };
