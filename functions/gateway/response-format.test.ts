import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createGatewayBed, type GatewayBed, MODEL, readJson } from '../../test/support/gateway/bed.ts';

let bed: GatewayBed;
beforeAll(async () => {
  bed = await createGatewayBed();
});
afterAll(() => bed.close());

const chat = (response_format: unknown) => ({
  model: MODEL,
  messages: [{ role: 'user', content: 'Hi' }],
  response_format,
});
const named = (schema: unknown, fields: object = {}) => ({
  type: 'json_schema',
  json_schema: { name: 'answer', schema, ...fields },
});
const SCHEMA_PARAM = 'response_format.json_schema.schema';

describe('a response format is refused, naming the field', () => {
  test.each<[string, unknown, string, RegExp]>([
    ['that is no object', 'json_object', 'response_format', /"text", "json_object" or "json_schema"/],
    ['without a type', {}, 'response_format.type', /"text", "json_object" or "json_schema"/],
    ['of an unknown type', { type: 'grammar' }, 'response_format.type', /"json_schema"/],
    ['without json_schema', { type: 'json_schema' }, 'response_format.json_schema', /is required/],
    [
      'with an empty one',
      { type: 'json_schema', json_schema: {} },
      'response_format.json_schema.name',
      /is required/,
    ],
    ['with a wrong name', named({}, { name: 'a b' }), 'response_format.json_schema.name', /letters, digits/],
    ['with a long name', named({}, { name: 'n'.repeat(65) }), 'response_format.json_schema.name', /1 to 64/],
    ['without a schema', named(undefined), SCHEMA_PARAM, /is required/],
    ['whose schema is a list', named([]), SCHEMA_PARAM, /must be a JSON Schema/],
    [
      'with a strict that is no flag',
      named({}, { strict: 'yes' }),
      'response_format.json_schema.strict',
      /boolean/,
    ],
    [
      'with a keyword that is not supported',
      named({ type: 'object', properties: { a: { oneOf: [{}] } } }),
      SCHEMA_PARAM,
      /'oneOf' at #\/properties\/a is not supported; supported are type, /,
    ],
    ['that nothing fits', named({ $ref: '#' }), SCHEMA_PARAM, /fits no value/],
    ['that is too large', named({ description: 'x'.repeat(70_000) }), SCHEMA_PARAM, /at most 65536/],
    [
      'that is nested too deeply',
      named({ items: JSON.parse('['.repeat(3_000) + ']'.repeat(3_000)) }),
      SCHEMA_PARAM,
      /128/,
    ],
  ])('%s', async (_, format, param, message) => {
    for (const path of ['chat/completions', 'completions']) {
      const taken = bed.pool.jobs.length;
      const response = await bed.post(`/v1/${path}`, { ...chat(format), prompt: 'Hi' });
      expect(response.status).toBe(400);
      const { error } = await readJson(response);
      expect(error).toMatchObject({ type: 'invalid_request_error', param, code: null });
      expect(error.message).toMatch(message);
      expect(String(error.message)).toContain(`'${param}'`);
      expect(JSON.stringify(error).length).toBeLessThan(600);
      expect(bed.pool.jobs.length).toBe(taken);
    }
  });
});

describe('jobs carry the constraint', () => {
  const constraintOf = async (path: string, response_format: unknown) => {
    const response = await bed.post(path, { ...chat(response_format), prompt: 'Hi' });
    expect(response.status, await response.text()).toBe(200);
    return bed.pool.jobs.at(-1)!.constraint;
  };

  test.each(['/v1/chat/completions', '/v1/completions'])('%s', async (path) => {
    const schema = {
      type: 'object',
      properties: { b: { const: null }, a: { type: ['string', 'null'], default: null } },
      required: ['b'],
    };
    const given = named(schema, { description: null, strict: true });
    expect(await constraintOf(path, given)).toEqual({ kind: 'json_schema', schema });
    // The order of the properties is that of the answer.
    const kept = bed.pool.jobs.at(-1)!.constraint;
    expect(JSON.stringify(kept)).toBe(JSON.stringify({ kind: 'json_schema', schema }));
    expect(await constraintOf(path, named({}, { strict: null }))).toEqual({
      kind: 'json_schema',
      schema: {},
    });
    expect(await constraintOf(path, { type: 'json_object' })).toEqual({ kind: 'json_object' });
    expect(await constraintOf(path, { type: 'text' })).toBeUndefined();
    expect(await constraintOf(path, null)).toBeUndefined();
  });

  test('every choice has it', async () => {
    const before = bed.pool.jobs.length;
    const response = await bed.post('/v1/chat/completions', { ...chat({ type: 'json_object' }), n: 3 });
    expect(response.status).toBe(200);
    const jobs = bed.pool.jobs.slice(before);
    expect(jobs.map(({ constraint }) => constraint)).toEqual(Array(3).fill({ kind: 'json_object' }));
  });
});
