import type { Context } from 'hono';
import { buildDocument } from '../openapi/document.ts';
import type { Document } from '../openapi/document-types.ts';
import { docsPage } from '../openapi/page/docs-page.ts';
import { STYLE } from '../openapi/page/style.ts';

/** Neither changes while a process runs, and both are made when they are first asked for. */
let document: Document | undefined;
let page: string | undefined;
const theDocument = (): Document => {
  document ??= buildDocument();
  return document;
};

/** Lets the page have its own style, and nothing else. */
async function contentPolicy(): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(STYLE));
  const hash = btoa(String.fromCharCode(...new Uint8Array(digest)));
  return `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
}

/** `GET /openapi.json`. */
export const openApi = () => (c: Context) => c.json(theDocument());

/** `GET /docs`. */
export const docs = () => async (c: Context) => {
  page ??= docsPage(theDocument());
  return c.html(page, 200, {
    'Content-Security-Policy': await contentPolicy(),
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
  });
};
