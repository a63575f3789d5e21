import { inputSchema, type JsonSchema } from '../schema/input-schema.ts';
import type {
  MediaTypes,
  OperationObject,
  Parameter,
  ResponseObject,
  SecurityRequirement,
} from './document-types.ts';
import type { Content, Operation, OperationAccess } from './operation.ts';
import { schemaReference } from './schemas.ts';

/** What names in addresses stand for. */
const PATH_PARAMETERS: Readonly<Record<string, string>> = {
  model: 'Name of a model, its slashes written as `%2F`.',
  id: 'Id of what is asked for.',
  requestId: 'Id of the request whose stream it is, as `X-Request-Id` told it.',
};

/** Absent: as the document says. */
const SECURITY: Readonly<Record<OperationAccess, readonly SecurityRequirement[] | undefined>> = {
  none: [],
  api: undefined,
  admin: [{ adminKey: [] }, {}],
};

/** Another address of an operation is another operation to the document, and needs an id of its own. */
function operationId({ id, paths: [own = ''] }: Operation, path: string): string {
  if (path === own) return id;
  const ofModel = path.startsWith('/models/{model}/') ? 'OfModel' : '';
  const versioned = path.includes('/v1/') && !own.startsWith('/v1/') ? 'V1' : '';
  return id + ofModel + versioned;
}

function parametersOf({ headers = {}, query }: Operation, path: string): Parameter[] {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => ({
    name,
    in: 'path' as const,
    required: true,
    description: PATH_PARAMETERS[name] ?? '',
    schema: { type: 'string' as const },
  }));
  const inHeader = Object.entries(headers).map(([name, description]) => ({
    name,
    in: 'header' as const,
    required: false,
    description,
    schema: { type: 'string' as const },
  }));
  if (query === undefined) return [...inPath, ...inHeader];
  const { properties = {}, required = [] } = inputSchema(query);
  const inQuery = Object.entries(properties).map(([name, given]) => {
    const own: JsonSchema = typeof given === 'object' ? given : {};
    const { description = '', ...schema } = own;
    return { name, in: 'query' as const, required: required.includes(name), description, schema };
  });
  return [...inPath, ...inHeader, ...inQuery];
}

function mediaTypes(content: Content): MediaTypes {
  switch (content.kind) {
    case 'json': {
      const { schema, example } = content;
      return { 'application/json': { schema: schemaReference(schema), ...(example && { example }) } };
    }
    case 'text':
      return { [content.mediaType]: { schema: { type: 'string' } } };
    case 'form': {
      const fields = Object.entries(content.fields);
      const properties = fields.map(([name, { text, binary }]): [string, JsonSchema] => [
        name,
        { type: 'string', ...(binary ? { contentMediaType: 'application/octet-stream' } : { const: text }) },
      ]);
      const example = Object.fromEntries(
        fields.map(([name, { text, binary }]) => [name, binary ? `@${text}` : text]),
      );
      return {
        'multipart/form-data': {
          schema: {
            type: 'object',
            properties: Object.fromEntries(properties),
            required: fields.map(([name]) => name),
          },
          example,
        },
      };
    }
  }
}

function responsesOf({ answer, errors }: Operation): OperationObject['responses'] {
  const responses: Record<string, ResponseObject | { $ref: string }> = {};
  if (answer !== undefined) {
    const { description, content, streamed } = answer;
    const stream: MediaTypes =
      streamed === undefined
        ? {}
        : { 'text/event-stream': { schema: { type: 'string', description: streamed } } };
    responses['200'] = { description, content: { ...mediaTypes(content), ...stream } };
  }
  for (const status of errors) responses[status] = { $ref: `#/components/responses/Error${status}` };
  return responses;
}

/** An operation at one of its addresses. */
export function operationObject(operation: Operation, path: string): OperationObject {
  const { id, paths, tag, summary, description, access, body } = operation;
  const parameters = parametersOf(operation, path);
  const security = SECURITY[access];
  return {
    operationId: operationId(operation, path),
    tags: [tag],
    summary,
    ...(description !== undefined && { description }),
    ...(parameters.length > 0 && { parameters }),
    ...(body !== undefined && { requestBody: { required: true, content: mediaTypes(body) } }),
    responses: responsesOf(operation),
    ...(security !== undefined && { security }),
    ...(path !== paths[0] && { 'x-same-as': id }),
  };
}
