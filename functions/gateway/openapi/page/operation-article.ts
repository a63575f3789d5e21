import type { JsonSchema } from '../../schema/input-schema.ts';
import {
  type Document,
  isReference,
  type MediaTypes,
  type Method,
  type OperationObject,
  type Reference,
  type ResponseObject,
} from '../document-types.ts';
import { curlCommand } from './curl.ts';
import { type Html, html, prose } from './html.ts';
import { fieldRows, typeText } from './schema-text.ts';

/** An operation at its usual address, and its others. */
export interface DocumentedOperation {
  readonly path: string;
  readonly method: Method;
  readonly operation: OperationObject;
  readonly otherPaths: readonly string[];
}

const NOTHING: readonly Html[] = [];

/** Words about whether a field must be there. */
type Presence = (isRequired: boolean) => string;
const inRequest: Presence = (isRequired) => (isRequired ? 'Required.' : '');
const inAnswer: Presence = (isRequired) => (isRequired ? '' : 'May be absent.');

const lastName = (reference: string): string => reference.slice(reference.lastIndexOf('/') + 1);

const schemaAt = (schema: JsonSchema, { components }: Document): JsonSchema =>
  schema.$ref === undefined ? schema : (components.schemas[lastName(schema.$ref)] ?? {});

const responseAt = (response: ResponseObject | Reference, { components }: Document): ResponseObject =>
  isReference(response) ? components.responses[lastName(response.$ref)]! : response;

function parameterTable({ parameters = [] }: OperationObject): readonly Html[] {
  if (parameters.length === 0) return NOTHING;
  const rows = parameters.map(({ name, in: place, schema, description = '' }) => {
    const byDefault = schema.default === undefined ? '' : ` Default: \`${JSON.stringify(schema.default)}\`.`;
    const type = typeText(schema);
    return html`<tr><td><code>${name}</code></td><td>${place}</td><td>${type}</td><td>${prose(description + byDefault)}</td></tr>`;
  });
  return [
    html`<h4>Parameters</h4><table><tr><th>Name</th><th>In</th><th>Type</th><th></th></tr>${rows}</table>`,
  ];
}

function fieldTable(schema: JsonSchema, presenceOf: Presence): readonly Html[] {
  const rows = fieldRows(schema).map(({ name, type, isRequired, byDefault, description }) => {
    const notes = [
      presenceOf(isRequired),
      description,
      byDefault === undefined ? '' : `Default: \`${byDefault}\`.`,
    ];
    const text = notes.filter((note) => note !== '').join(' ');
    return html`<tr><td><code>${name}</code></td><td>${type}</td><td>${prose(text)}</td></tr>`;
  });
  return rows.length === 0
    ? NOTHING
    : [html`<table><tr><th>Field</th><th>Type</th><th></th></tr>${rows}</table>`];
}

const contentParts = (content: MediaTypes, document: Document, presenceOf: Presence): readonly Html[] =>
  Object.entries(content).map(([mediaType, { schema }]) => {
    const { description = '' } = schema;
    return html`<p><code>${mediaType}</code> ${prose(description)}</p>${fieldTable(schemaAt(schema, document), presenceOf)}`;
  });

function bodyPart({ requestBody }: OperationObject, document: Document): readonly Html[] {
  if (requestBody === undefined) return NOTHING;
  return [html`<h4>Body</h4>${contentParts(requestBody.content, document, inRequest)}`];
}

/** Errors all have the same body, which is shown once elsewhere. */
function responsePart({ responses }: OperationObject, document: Document): readonly Html[] {
  return Object.entries(responses).map(([status, given]) => {
    const { description, content = {} } = responseAt(given, document);
    const line = html`<code>${status}</code> ${prose(description)}`;
    if (isReference(given)) return html`<p>${line}</p>`;
    return html`<details><summary>${line}</summary>${contentParts(content, document, inAnswer)}</details>`;
  });
}

/** All that the page tells of one operation. */
export function operationArticle(documented: DocumentedOperation, document: Document): Html {
  const { path, method, operation, otherPaths } = documented;
  const { operationId, summary, description = '' } = operation;
  const others = otherPaths.map((other) => html` <code>${other}</code>`);
  return html`<article id="${operationId}">
<h3><code><span class="method">${method}</span> ${path}</code></h3>
<p>${summary}. ${prose(description)}</p>
${others.length === 0 ? NOTHING : html`<p>Also at${others}</p>`}
${parameterTable(operation)}
${bodyPart(operation, document)}
<h4>Answers</h4>
${responsePart(operation, document)}
<pre>${curlCommand(path, method, operation, document)}</pre>
</article>
`;
}
