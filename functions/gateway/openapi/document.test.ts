import { Redis } from 'ioredis';
import { afterAll, expect, test } from 'vitest';
import { z } from 'zod';
import type { BatchDesk } from '../../batches/desk.ts';
import { DEFAULT_BATCH_LIMITS } from '../../batches/limits.ts';
import { systemClock } from '../../clock.ts';
import { createDispatcher } from '../../dispatcher/dispatcher.ts';
import { createRegistry } from '../../dispatcher/registry.ts';
import { createAccess } from '../access/access.ts';
import { createGateway } from '../gateway.ts';
import { randomIds } from '../ids.ts';
import { DEFAULT_GATEWAY_LIMITS } from '../limits.ts';
import { parseBatch } from '../schema/batches.ts';
import { parseChat } from '../schema/chat.ts';
import { parseCompletion } from '../schema/completions.ts';
import { parseResponses } from '../schema/responses.ts';
import { parseDetokenize, parseTokenize } from '../schema/tokenization.ts';
import { buildDocument } from './document.ts';
import { METHODS } from './document-types.ts';
import { SCHEMAS, type SchemaName } from './schemas.ts';

/** As a client sees it. */
const document = JSON.parse(JSON.stringify(buildDocument())) as ReturnType<typeof buildDocument>;
const operations = Object.entries(document.paths).flatMap(([path, item]) =>
  METHODS.flatMap((method) => {
    const operation = item[method];
    return operation === undefined ? [] : [{ path, method, operation }];
  }),
);

const redis = new Redis({ lazyConnect: true });
afterAll(() => redis.disconnect());

/** All of its routes, files and batches too; nothing is sent to it. */
const app = createGateway({
  dispatcher: createDispatcher(redis),
  registry: createRegistry(redis),
  limits: DEFAULT_GATEWAY_LIMITS,
  clock: systemClock,
  ids: randomIds,
  access: createAccess(redis, { anonymous: true }),
  batches: { limits: DEFAULT_BATCH_LIMITS } as BatchDesk,
  report() {},
});

test('tells of every route of the gateway, and of no other', () => {
  const routes = app.routes
    .filter(({ method }) => method !== 'ALL')
    .map(({ method, path }) => `${method} ${path.replace(/:(\w+)(\{[^}]*\})?/g, '{$1}')}`);
  const documented = operations.map(({ path, method }) => `${method.toUpperCase()} ${path}`);
  expect(routes).toContain('POST /v1/chat/completions');
  expect(documented.sort()).toEqual([...new Set(routes)].sort());
});

const mediaTypes = z.record(
  z.string(),
  z.strictObject({ schema: z.object(), example: z.object().optional() }),
);
const response = z.strictObject({
  description: z.string().min(1),
  headers: z.record(z.string(), z.strictObject({ description: z.string(), schema: z.object() })).optional(),
  content: mediaTypes.optional(),
});
const security = z.array(z.record(z.string(), z.array(z.string())));
const reference = z.strictObject({ $ref: z.string().startsWith('#/components/') });
const operation = z.strictObject({
  operationId: z.string().regex(/^[A-Za-z]\w*$/),
  tags: z.array(z.string()).length(1),
  summary: z.string().min(1),
  description: z.string().optional(),
  parameters: z
    .array(
      z.strictObject({
        name: z.string(),
        in: z.enum(['path', 'query', 'header']),
        required: z.boolean(),
        description: z.string().min(1),
        schema: z.object(),
      }),
    )
    .optional(),
  requestBody: z.strictObject({ required: z.literal(true), content: mediaTypes }).optional(),
  responses: z.record(z.string().regex(/^[2-5]\d\d$/), z.union([reference, response])),
  security: security.optional(),
  'x-same-as': z.string().optional(),
});
const openApi = z.strictObject({
  openapi: z.literal('3.1.0'),
  info: z.strictObject({ title: z.string(), version: z.string(), description: z.string() }),
  security,
  tags: z.array(z.strictObject({ name: z.string() })),
  paths: z.record(z.string().startsWith('/'), z.partialRecord(z.enum(METHODS), operation)),
  components: z.strictObject({
    schemas: z.record(z.string(), z.object()),
    responses: z.record(z.string(), response),
    securitySchemes: z.record(z.string(), z.looseObject({ type: z.literal('http') })),
  }),
});

test('is an OpenAPI document', () => {
  openApi.parse(document);
  const tags = document.tags.map(({ name }) => name);
  const ids = operations.map(({ operation: { operationId } }) => operationId);
  expect(new Set(ids).size).toBe(ids.length);
  for (const { path, operation: own } of operations) {
    const inAddress = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    const inPath = (own.parameters ?? []).filter((parameter) => parameter.in === 'path');
    expect(inPath.map(({ name }) => name)).toEqual(inAddress);
    expect(tags).toContain(own.tags[0]);
    if (own['x-same-as'] !== undefined) expect(ids).toContain(own['x-same-as']);
    for (const scheme of (own.security ?? []).flatMap((choice) => Object.keys(choice))) {
      expect(document.components.securitySchemes).toHaveProperty(scheme);
    }
  }
});

test('refers to what is there, and to all of it', () => {
  const text = JSON.stringify(document);
  const referred = new Set([...text.matchAll(/"\$ref":"([^"]*)"/g)].map(([, address]) => address));
  const { schemas, responses } = document.components;
  const there = [
    ...Object.keys(schemas).map((name) => `#/components/schemas/${name}`),
    ...Object.keys(responses).map((name) => `#/components/responses/${name}`),
  ];
  expect([...referred].sort()).toEqual(there.sort());
});

test.each(Object.keys(SCHEMAS) as SchemaName[])('%s is a JSON Schema with all fields of ours', (name) => {
  const schema = document.components.schemas[name]!;
  expect(Object.keys(schema.properties ?? {})).toEqual(Object.keys(SCHEMAS[name].shape));
  expect(() => z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0])).not.toThrow();
});

test('tells what lies behind checks of our own', () => {
  const { ChatCompletionRequest, CompletionRequest, TokenizeRequest } = document.components.schemas;
  expect(ChatCompletionRequest).toMatchObject({
    required: ['messages'],
    properties: {
      messages: {
        type: 'array',
        minItems: 1,
        items: {
          properties: {
            content: {
              anyOf: [
                { type: 'string' },
                {
                  type: 'array',
                  items: { properties: { type: { const: 'text' }, text: { type: 'string' } } },
                },
              ],
            },
          },
        },
      },
      stop: { anyOf: [{ type: 'string' }, { type: 'array', maxItems: 4, items: { type: 'string' } }] },
      logit_bias: { type: 'object', additionalProperties: { minimum: -100, maximum: 100 } },
      seed: { type: 'integer' },
      temperature: { type: 'number', minimum: 0, maximum: 2, default: 1 },
      response_format: {
        oneOf: [{}, {}, { properties: { json_schema: { properties: { schema: { type: 'object' } } } } }],
      },
    },
  });
  const ids = { type: 'array', items: { type: 'integer', minimum: 0 }, minItems: 1 };
  expect(CompletionRequest).toMatchObject({
    required: ['prompt'],
    properties: {
      prompt: {
        anyOf: [
          { type: 'string' },
          { type: 'array', items: { anyOf: [{ type: 'string' }, { type: 'integer', minimum: 0 }, ids] } },
        ],
      },
    },
  });
  expect(TokenizeRequest!.required).toBeUndefined();
  expect(JSON.stringify(document)).not.toContain('"maxItems":null');
});

test('has examples that the routes take', () => {
  const parsers: Partial<Record<SchemaName, (body: unknown) => unknown>> = {
    ChatCompletionRequest: parseChat,
    CompletionRequest: parseCompletion,
    ResponseRequest: parseResponses,
    TokenizeRequest: parseTokenize,
    DetokenizeRequest: parseDetokenize,
    BatchRequest: parseBatch,
  };
  const taken = new Set<string>();
  for (const { operation: own } of operations) {
    const json = own.requestBody?.content['application/json'];
    if (json === undefined) continue;
    const name = json.schema.$ref!.split('/').at(-1) as SchemaName;
    expect(() => parsers[name]!(json.example)).not.toThrow();
    taken.add(name);
  }
  expect([...taken].sort()).toEqual(Object.keys(parsers).sort());
});
