import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RequestError } from '../../gateway/errors.ts';
import { readUpload } from './read-upload.ts';

const encoder = new TextEncoder();
const LIMITS = { fileBytes: 1_000, fileLines: 4, lineBytes: 100 };
const BOUNDARY = 'bound';

async function* chunksOf(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let start = 0;
  for (let index = 0; start < bytes.length; index++) {
    const size = sizes[index % sizes.length]!;
    yield bytes.subarray(start, start + size);
    start += size;
  }
}

/** What is stored of a body that comes in chunks of `sizes`. */
async function upload(body: string | Uint8Array, sizes: readonly number[] = [64], limits = LIMITS) {
  const bytes = typeof body === 'string' ? encoder.encode(body) : body;
  let stored = Buffer.alloc(0);
  const { filename } = await readUpload({
    contentType: `multipart/form-data; boundary=${BOUNDARY}`,
    body: chunksOf(bytes, sizes),
    limits,
    async store(content) {
      for await (const chunk of content) stored = Buffer.concat([stored, chunk]);
      return stored.length;
    },
  });
  return { filename, content: stored };
}

const purpose = 'Content-Disposition: form-data; name="purpose"\r\n\r\nbatch';
const fileHeader =
  'Content-Disposition: form-data; name="file"; filename="a.jsonl"\r\nContent-Type: x/y\r\n\r\n';
const form = (...parts: readonly string[]): string =>
  `${parts.map((part) => `--${BOUNDARY}\r\n${part}\r\n`).join('')}--${BOUNDARY}--\r\n`;
const withFile = (content: string): string => form(purpose, fileHeader + content);

const refusal = async (work: Promise<unknown>) => {
  const error = await work.catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(RequestError);
  return (error as RequestError).failure;
};

test('takes a file in, however its form is cut into chunks', async () => {
  // Contents are made of what delimiters are made of, so that many almost hold one.
  const piece = fc.constantFrom('\r\n', '\r\n--', '\r\n--boun', '--bound', '\n', '\r', '-', 'x', 'é');
  const content = fc.array(piece, { maxLength: 40 }).map((pieces) => `{${pieces.join('')}`);
  const sizes = fc.array(fc.integer({ min: 1, max: 70 }), { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(content, sizes, async (text, cuts) => {
      fc.pre(!text.includes(`\r\n--${BOUNDARY}`));
      const roomy = { fileBytes: 10_000, fileLines: 1_000, lineBytes: 10_000 };
      const taken = await upload(withFile(text), cuts, roomy);
      expect(taken.content.toString()).toBe(text);
    }),
  );
});

test('takes fields in any order, quoted names, and bytes that are no text', async () => {
  const head = 'Content-Disposition: form-data; name="file"; filename="say \\"hi\\" %22.jsonl"\r\n\r\n';
  const bytes = Buffer.from([0xff, 0x00, 0x0d, 0x80]);
  const body = Buffer.concat([
    Buffer.from(`ignored\r\n--${BOUNDARY}\r\n${head}`),
    bytes,
    Buffer.from(`\r\n--${BOUNDARY}\r\n${purpose}\r\n--${BOUNDARY}--`),
  ]);
  const taken = await upload(body);
  expect(taken.filename).toBe('say "hi" ".jsonl');
  expect(taken.content.equals(bytes)).toBe(true);
});

describe('a form is refused', () => {
  test.each<[string, string, string | null]>([
    ['without a file', form(purpose), 'file'],
    ['without a purpose', form(`${fileHeader}{}`), 'purpose'],
    ['with another purpose', form(purpose.replace('batch', 'vision'), `${fileHeader}{}`), 'purpose'],
    ['with two files', form(purpose, `${fileHeader}{}`, `${fileHeader}{}`), 'file'],
    [
      'with a file that is a plain value',
      form(purpose, fileHeader.replace('; filename="a.jsonl"', '')),
      'file',
    ],
    ['with an empty file', withFile(''), 'file'],
    [
      'with a time to live',
      form('Content-Disposition: form-data; name="expires_after[seconds]"\r\n\r\n60', `${fileHeader}{}`),
      'expires_after',
    ],
    ['with a part that has no name', form('Content-Type: x/y\r\n\r\nx'), null],
    ['with too many parts', form(...Array.from({ length: 40 }, () => purpose)), null],
    ['with headers that are too long', form(`X: ${'x'.repeat(5_000)}\r\n\r\n`), null],
    ['with a value that is too long', form(purpose + 'x'.repeat(2_000)), null],
    ['that ends amid the file', withFile('{}').slice(0, -20), null],
    ['that ends before it begins', '', null],
    ['that is something else', '{"purpose": "batch"}', null],
  ])('%s', async (_, body, param) => {
    expect(await refusal(upload(body))).toMatchObject({ status: 400, param });
  });

  test.each([undefined, 'application/json', 'multipart/form-data'])('of type %s', async (contentType) => {
    const request = {
      contentType,
      body: chunksOf(new Uint8Array(0), [1]),
      limits: LIMITS,
      store: async () => 0,
    };
    expect((await refusal(readUpload(request))).code).toBe('invalid_multipart');
  });
});

describe('a file is refused', () => {
  test('of too many bytes', async () => {
    const failure = await refusal(
      upload(withFile('{}\n'.repeat(400)), [64], { ...LIMITS, fileLines: 1_000 }),
    );
    expect(failure).toMatchObject({ status: 413, param: 'file', code: 'file_too_large' });
  });

  test('of too many lines, naming the first of them', async () => {
    expect((await upload(withFile('{}\n'.repeat(4)))).content.length).toBe(12);
    const failure = await refusal(upload(withFile(`${'{}\n'.repeat(4)}{}`)));
    expect(failure.message).toBe("Invalid 'file': line 5 is one too many");
  });

  test('with a line that is too long, naming it', async () => {
    const failure = await refusal(upload(withFile(`{}\n\n${'x'.repeat(101)}\n{}`), [7]));
    expect(failure.message).toBe("Invalid 'file': line 3 has more than 100 bytes");
  });
});
