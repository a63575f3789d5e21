import { type Document, METHODS } from '../document-types.ts';
import { ADDRESS_VARIABLE } from './curl.ts';
import { type Html, html, prose } from './html.ts';
import { type DocumentedOperation, operationArticle } from './operation-article.ts';
import { fieldRows } from './schema-text.ts';
import { STYLE } from './style.ts';

/** Operations with all of their addresses, in the order of the document. */
function documentedOperations({ paths }: Document): DocumentedOperation[] {
  const all = Object.entries(paths).flatMap(([path, item]) =>
    METHODS.flatMap((method) => {
      const operation = item[method];
      return operation === undefined ? [] : [{ path, method, operation }];
    }),
  );
  return all
    .filter(({ operation }) => operation['x-same-as'] === undefined)
    .map((own) => ({
      ...own,
      otherPaths: all
        .filter(({ operation }) => operation['x-same-as'] === own.operation.operationId)
        .map(({ path }) => path),
    }));
}

function errorSection({ components }: Document): Html {
  const rows = fieldRows(components.schemas.Error ?? {}).map(
    ({ name, type, description }) =>
      html`<tr><td><code>${name}</code></td><td>${type}</td><td>${prose(description)}</td></tr>`,
  );
  return html`<h2 id="errors">Errors</h2>
<p>Every answer other than success has this body.</p>
<table><tr><th>Field</th><th>Type</th><th></th></tr>${rows}</table>
`;
}

/** The document to be read: one page that needs nothing else, neither scripts nor anything from another address. */
export function docsPage(document: Document): string {
  const { info, tags } = document;
  const operations = documentedOperations(document);
  const sections = tags.map(({ name }) => {
    const own = operations.filter(({ operation }) => operation.tags.includes(name));
    return html`<h2>${name}</h2>
${own.map((documented) => operationArticle(documented, document))}`;
  });
  const links = operations.map(
    ({ path, method, operation }) =>
      html`<li><a href="#${operation.operationId}"><code><span class="method">${method}</span> ${path}</code></a></li>\n`,
  );
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${info.title} API</title>
<style>${{ html: STYLE }}</style>
</head>
<body>
<h1>${info.title} API</h1>
<p>${prose(info.description)} The same as an OpenAPI document: <a href="openapi.json">openapi.json</a>.</p>
<p>The commands take the gateway's address from the shell: <code>export ${ADDRESS_VARIABLE}=http://127.0.0.1:8000</code></p>
<nav><ul>
${links}</ul></nav>
<main>
${sections}
${errorSection(document)}</main>
</body>
</html>
`;
  return page.html;
}
