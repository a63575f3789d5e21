import { inputSchema } from '../schema/input-schema.ts';
import type { Document, Method, OperationObject, ResponseObject } from './document-types.ts';
import { ERRORS } from './operation.ts';
import { operationObject } from './operation-object.ts';
import { OPERATIONS } from './operations.ts';
import { SCHEMAS, schemaReference } from './schemas.ts';

/** Of the API, not of the program. */
const API_VERSION = '1';
const DESCRIPTION =
  "OpenAI's API before Mixture-of-Experts models whose attention and experts are served in separate pools. " +
  'While no API key exists, none is needed; from the first one on, every request of the API needs one. ' +
  'Below `/models/{model}` the address names the model, and the body need not.';

const RETRY_AFTER = {
  'Retry-After': {
    description: 'Seconds after which it may be tried again.',
    schema: { type: 'integer' as const },
  },
};

function errorResponses(): Record<string, ResponseObject> {
  const entries = Object.entries(ERRORS).map(([status, description]): [string, ResponseObject] => [
    `Error${status}`,
    {
      description,
      ...((status === '429' || status === '503') && { headers: RETRY_AFTER }),
      content: { 'application/json': { schema: schemaReference('Error') } },
    },
  ]);
  return Object.fromEntries(entries);
}

/** By address and method. */
function paths(): Record<string, Partial<Record<Method, OperationObject>>> {
  const items: Record<string, Partial<Record<Method, OperationObject>>> = {};
  for (const operation of OPERATIONS) {
    for (const path of operation.paths) {
      items[path] = { ...items[path], [operation.method]: operationObject(operation, path) };
    }
  }
  return items;
}

/** The API as an OpenAPI 3.1 document, whose schemas are made out of those that check the requests. */
export function buildDocument(): Document {
  const schemas = Object.entries(SCHEMAS).map(([name, schema]) => [name, inputSchema(schema)] as const);
  return {
    openapi: '3.1.0',
    info: { title: 'Janus', version: API_VERSION, description: DESCRIPTION },
    security: [{ apiKey: [] }, {}],
    tags: [...new Set(OPERATIONS.map(({ tag }) => tag))].map((name) => ({ name })),
    paths: paths(),
    components: {
      schemas: Object.fromEntries(schemas),
      responses: errorResponses(),
      securitySchemes: {
        apiKey: { type: 'http', scheme: 'bearer', description: 'A key of the class `api`: `sk-janus-…`.' },
        adminKey: { type: 'http', scheme: 'bearer', description: 'A key of the class `admin`.' },
      },
    },
  };
}
