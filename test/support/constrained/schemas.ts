import fc from 'fast-check';

/** A JSON Schema of the supported kind, and texts that fit it in the form that compile-schema.ts promises. */
export interface SchemaCase {
  readonly schema: Readonly<Record<string, unknown>>;
  readonly text: fc.Arbitrary<string>;
}

const written = (values: fc.Arbitrary<unknown>): fc.Arbitrary<string> =>
  values.map((value) => JSON.stringify(value));
const anyCharacter = fc.string({ unit: 'binary', minLength: 1, maxLength: 1 });
const character = fc.oneof(fc.constantFrom('a', 'b', '"', '\\', 'é', '語', '👩', '\n', ' '), anyCharacter);
const characters = (minLength = 0, maxLength = 6): fc.Arbitrary<string> =>
  fc.string({ unit: character, minLength, maxLength });
const space = fc.constantFrom('', ' ');

const PATTERNS = [
  '^[a-z]{2,5}$',
  '^(foo|ba+r)?$',
  '^\\d+(\\.\\d+)?$',
  '^[^"\\\\]{1,3}é$',
  'b',
  '^x|y$',
  '^(a|b|[\\u00e0-\\u00ff])*c$',
  '^.{0,3}$',
];

const matching = (pattern: RegExp): fc.Arbitrary<string> =>
  fc.stringMatching(pattern).filter((text) => text.length < 40 && text.isWellFormed() && pattern.test(text));

const bounded = fc
  .tuple(fc.integer({ min: -1000, max: 1000 }), fc.nat(1500))
  .map(([minimum, width]) => ({ minimum, maximum: minimum + width }));

const scalar: fc.Arbitrary<SchemaCase> = fc.oneof(
  fc.constant({ schema: { type: 'string' }, text: written(characters()) }),
  fc.tuple(fc.nat(3), fc.nat(4)).map(([minLength, more]) => ({
    schema: { type: 'string', minLength, maxLength: minLength + more },
    text: written(characters(minLength, minLength + more)),
  })),
  fc
    .nat(3)
    .map((minLength) => ({ schema: { type: 'string', minLength }, text: written(characters(minLength, 7)) })),
  fc.constantFrom(...PATTERNS).map((pattern) => ({
    schema: { type: 'string', pattern },
    text: written(matching(new RegExp(pattern, 'u'))),
  })),
  fc.constant({ schema: { type: 'integer' }, text: written(fc.maxSafeInteger()) }),
  fc.constant({
    schema: { type: 'number', description: 'any' },
    text: written(fc.double({ min: -1e300, max: 1e300, noNaN: true })),
  }),
  bounded.map((bounds) => ({
    schema: { type: 'integer', ...bounds },
    text: written(fc.integer({ min: bounds.minimum, max: bounds.maximum })),
  })),
  bounded.map((bounds) => ({
    schema: { type: 'number', ...bounds },
    text: written(
      fc.integer({ min: bounds.minimum * 64, max: bounds.maximum * 64 }).map((parts) => parts / 64),
    ),
  })),
  fc.constant({ schema: { type: 'boolean' }, text: written(fc.boolean()) }),
  fc.constant({ schema: { type: ['null', 'integer'] }, text: written(fc.option(fc.nat())) }),
  fc
    .uniqueArray(fc.oneof(characters(0, 4), fc.integer(), fc.boolean()), { minLength: 1, maxLength: 5 })
    .map((values) => ({
      schema: { enum: values },
      text: written(fc.constantFrom(...values)),
    })),
  fc
    .jsonValue({ maxDepth: 2 })
    .map((value) => ({ schema: { const: value }, text: fc.constant(JSON.stringify(value)) })),
);

const NAMES = ['a', 'ab', 'b', 'é', 'say "hi"', 'tab\t', 'long name', ''];

interface NamedCase {
  readonly name: string;
  readonly isRequired: boolean;
  readonly inner: SchemaCase;
}

const named = (inner: fc.Arbitrary<SchemaCase>): fc.Arbitrary<NamedCase[]> =>
  fc.uniqueArray(fc.record({ name: fc.constantFrom(...NAMES), isRequired: fc.boolean(), inner }), {
    selector: ({ name }) => name,
    maxLength: 4,
  });

/** A comma-separated list with or without spaces. */
const listed = (
  parts: readonly fc.Arbitrary<string | null>[],
  open: string,
  close: string,
): fc.Arbitrary<string> =>
  fc.tuple(fc.tuple(...parts), space).map(([texts, gap]) => {
    return open + texts.filter((text) => text !== null).join(`,${gap}`) + close;
  });

const memberText = (name: string, value: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.tuple(space, value).map(([gap, text]) => `${JSON.stringify(name)}:${gap}${text}`);

function objectCase(members: readonly NamedCase[], additional: SchemaCase | null): SchemaCase {
  const names = new Set(members.map(({ name }) => name));
  const own = members.map(({ name, isRequired, inner }) =>
    isRequired ? memberText(name, inner.text) : fc.option(memberText(name, inner.text)),
  );
  const freeName = characters(0, 4).filter((name) => !names.has(name) && name !== '__proto__');
  const free = freeName.chain((name) => memberText(name, additional?.text ?? fc.constant('null')));
  return {
    schema: {
      type: 'object',
      properties: Object.fromEntries(members.map(({ name, inner }) => [name, inner.schema])),
      required: members.filter(({ isRequired }) => isRequired).map(({ name }) => name),
      additionalProperties: additional === null ? false : additional.schema,
    },
    text: listed(additional === null ? own : [...own, fc.option(free), fc.option(free)], '{', '}'),
  };
}

function arrayCase(inner: SchemaCase, minItems: number, more: number | null): SchemaCase {
  const items = fc.integer({ min: minItems, max: minItems + (more ?? 3) }).chain((count) =>
    listed(
      Array.from({ length: count }, () => inner.text),
      '[',
      ']',
    ),
  );
  const maxItems = more === null ? {} : { maxItems: minItems + more };
  return { schema: { type: 'array', items: inner.schema, minItems, ...maxItems }, text: items };
}

/** @param depth levels of objects, arrays and alternatives */
export function schemaCases(depth: number): fc.Arbitrary<SchemaCase> {
  if (depth === 0) return scalar;
  const inner = schemaCases(depth - 1);
  return fc.oneof(
    scalar,
    fc.tuple(named(inner), fc.option(inner)).map(([members, additional]) => objectCase(members, additional)),
    fc.tuple(inner, fc.nat(2), fc.option(fc.nat(2))).map((parts) => arrayCase(...parts)),
    fc.array(inner, { minLength: 1, maxLength: 3 }).map((options) => ({
      schema: { anyOf: options.map(({ schema }) => schema) },
      text: fc.oneof(...options.map(({ text }) => text)),
    })),
  );
}

/** A schema with a text that fits it. */
export const schemaWithText = (depth: number): fc.Arbitrary<{ schema: SchemaCase['schema']; text: string }> =>
  schemaCases(depth).chain(({ schema, text }) => text.map((one) => ({ schema, text: one })));
