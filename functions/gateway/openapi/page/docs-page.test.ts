import { describe, expect, test } from 'vitest';
import { buildDocument } from '../document.ts';
import { OPERATIONS } from '../operations.ts';
import { curlCommand } from './curl.ts';
import { docsPage } from './docs-page.ts';
import { html, prose } from './html.ts';
import { fieldRows, typeText } from './schema-text.ts';

const document = buildDocument();
const page = docsPage(document);

/** Text of the page's article about an operation, without its markup. */
function articleOf(id: string): string {
  const article = new RegExp(`<article id="${id}">.*?</article>`, 's').exec(page);
  return (
    article?.[0]
      .replace(/<[^>]*>/g, ' ')
      .replaceAll('&quot;', '"')
      .replaceAll('&#39;', "'") ?? ''
  );
}

describe('the page', () => {
  test('has an article and a link for every operation, and names all of its addresses', () => {
    expect(page.match(/<article /g)).toHaveLength(OPERATIONS.length);
    for (const { id, paths, summary } of OPERATIONS) {
      expect(page).toContain(`<a href="#${id}">`);
      const article = articleOf(id);
      expect(article).toContain(summary);
      for (const path of paths) expect(article).toContain(path);
    }
  });

  test('tells of fields, deep ones too, with type, default and description', () => {
    const article = articleOf('createChatCompletion').replace(/\s+/g, ' ');
    expect(article).toMatch(/messages list of object \(at most 2048\) Required\. The conversation so far\./);
    expect(article).toContain('messages[].content');
    expect(article).toMatch(
      /temperature number from 0 to 2 0 takes the likeliest token each time\. Default: 1/,
    );
    expect(article).toContain('choices[].message.content string | null null where');
    expect(article).toMatch(/message\.tool_calls list of object May be absent\./);
    expect(article).toContain('response_format.type "text" | "json_object" | "json_schema" Required.');
    expect(article).toContain('text/event-stream');
    expect(articleOf('listFiles').replace(/\s+/g, ' ')).toMatch(/order query "asc" \| "desc"/);
  });

  test('loads nothing, runs nothing, and is closed HTML', () => {
    expect(page).not.toMatch(/<script|<link|<img|<iframe|\ssrc=|\son\w+=|style=|url\(|@import/i);
    const links = [...page.matchAll(/href="([^"]*)"/g)].map(([, address]) => address!);
    expect(links.filter((address) => !address.startsWith('#'))).toEqual(['openapi.json']);
    const open: string[] = [];
    for (const [, close, name] of page.matchAll(/<(\/?)([a-z]\w*)[^>]*>/g)) {
      if (name === 'meta') continue;
      if (close === '') open.push(name!);
      else expect(open.pop()).toBe(name);
    }
    expect(open).toEqual([]);
  });

  test('shows hostile texts of the document as texts', () => {
    const hostile = `<script>alert("x")</script>'&`;
    const operation = {
      operationId: 'a',
      tags: [hostile],
      summary: hostile,
      description: hostile,
      responses: {},
    };
    const text = docsPage({
      ...document,
      info: { title: hostile, version: hostile, description: hostile },
      tags: [{ name: hostile }],
      paths: { [`/${hostile}`]: { get: operation } },
    });
    expect(text).not.toContain('<script');
    expect(text).toContain('&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&#39;&amp;');
  });
});

describe('commands', () => {
  const commandOf = (path: string, method: 'get' | 'post' | 'delete') =>
    curlCommand(path, method, document.paths[path]![method]!, document);

  test('send what the operation takes', () => {
    expect(commandOf('/v1/completions', 'post')).toBe(
      [
        'curl "$JANUS/v1/completions"',
        "-H 'Authorization: Bearer sk-janus-…'",
        "-H 'Content-Type: application/json'",
        `-d '{"model":"dictionary-moe","prompt":"A harbor is","max_tokens":32}'`,
      ].join(' \\\n  '),
    );
    expect(commandOf('/v1/files', 'post')).toContain("-F 'purpose=batch' \\\n  -F 'file=@requests.jsonl'");
    expect(commandOf('/v1/files/{id}', 'delete')).toContain('curl -X DELETE "$JANUS/v1/files/{id}"');
    expect(commandOf('/health', 'get')).toBe('curl "$JANUS/health"');
  });

  test('quote for the shell', () => {
    const content = { 'application/json': { schema: {}, example: { text: "it's" } } };
    const operation = { operationId: 'a', tags: [], summary: '', responses: {}, security: [] };
    const command = curlCommand(
      '/',
      'post',
      { ...operation, requestBody: { required: true, content } },
      document,
    );
    expect(command).toContain(String.raw`-d '{"text":"it'\''s"}'`);
  });
});

describe('types in words', () => {
  test.each([
    [{ type: 'integer', minimum: 1, maximum: 16 }, 'integer from 1 to 16'],
    [{ type: 'number', exclusiveMinimum: 0, maximum: 1 }, 'number above 0 to 1'],
    [
      { anyOf: [{ type: 'string' }, { type: 'array', items: { type: 'string' } }] },
      'string | list of string',
    ],
    [{ type: 'array', items: { enum: ['a', 1] }, maxItems: 4 }, 'list of ("a" | 1) (at most 4)'],
    [{ type: 'object', additionalProperties: { type: 'number' } }, 'object of number'],
    [{ type: ['string', 'null'] }, 'string | null'],
    [{ const: 'text' }, '"text"'],
    [{ $ref: '#/components/schemas/Error' }, 'Error'],
    [{}, 'anything'],
  ] as const)('%j', (schema, text) => {
    expect(typeText(schema as Parameters<typeof typeText>[0])).toBe(text);
  });

  test('end where fields lie too deep', () => {
    const nested = (levels: number): Parameters<typeof fieldRows>[0] =>
      levels === 0 ? { type: 'string' } : { type: 'object', properties: { a: nested(levels - 1) } };
    expect(fieldRows(nested(9)).map(({ name }) => name)).toEqual(['a', 'a.a', 'a.a.a', 'a.a.a.a']);
  });
});

test('a value is escaped where it is no HTML, and words between backticks are code', () => {
  expect(html`<p title="${'"'}">${'<'}${html`<b>${'&'}</b>`}${[html`1`, html`2`]}</p>`.html).toBe(
    '<p title="&quot;">&lt;<b>&amp;</b>12</p>',
  );
  expect(html`${prose('a `<b>` c')}`.html).toBe('a <code>&lt;b&gt;</code> c');
});
