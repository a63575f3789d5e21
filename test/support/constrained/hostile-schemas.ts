const LETTERS = [...'abcdefghijklmnopqrstuvwxyz'];
const times = (count: number, make: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => make(index)).join('');
const pattern = (source: string) => ({ type: 'string', pattern: source });
const entries = (count: number, make: (index: number) => unknown) =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`p${index}`, make(index)]));

/** Letters that are no neighbours, so that each is a range of its own. */
const scattered = times(300, (index) => String.fromCodePoint(0x100 + 2 * index));

/** Two kinds of object that differ at their ends alone, and hold themselves: each level doubles the ways to read them. */
const kind = (end: string) => ({
  type: 'object',
  properties: { a: { $ref: '#' }, [end]: { type: 'integer' } },
  required: [end],
});

/** Schemas that are made to take long, to compile or to follow; some are refused for it. */
export const HOSTILE_SCHEMAS: Readonly<Record<string, unknown>> = {
  'a letter so far from the end': pattern('^[a-z]*a[a-z]{500}b$'),
  'any letter so far from the end': pattern('[a-z ]*[aeiou][a-z ]{900}[xyz]'),
  'each letter at its own distance': pattern(
    `^[a-z]*(?:${LETTERS.map((l, i) => `${l}[a-z]{${20 + i}}`).join('|')})$`,
  ),
  'letters that may all be left out': pattern(`^(?:${LETTERS.map((letter) => `${letter}?`).join('')}){38}$`),
  'one letter that may be left out': pattern('^(?:[a-z]?){5000}$'),
  'nothing or a letter': pattern('^(?:|[a-z]){5000}$'),
  'loops in loops': pattern(`^(?:${'(?:'.repeat(30)}[a-z]*${')*'.repeat(30)}x)*$`),
  'many searches in a row': pattern(`^${times(80, () => '.*[a-z]')}$`),
  'words in any order': pattern(`^(?:${LETTERS.map((l) => `(?:${l}[a-z]{0,30})?`).join('')})+$`),
  'repetitions of repetitions': pattern('^(?:(?:[a-f]|b|c){0,60}){60}$'),
  'parts of nothing': pattern(`^(?:a${'(?:)'.repeat(240)}){10000}$`),
  'choices of nothing': pattern(`^(?:a${'|'.repeat(900)}){10000}$`),
  'scattered letters': pattern(`^[${scattered}]*[${scattered}]{200}$`),
  'all but scattered letters': pattern(`^(?:[^${scattered}]{0,3}x){400}$`),
  'properties that may be left out': {
    type: 'object',
    properties: entries(1_000, () => ({ type: 'integer' })),
  },
  'properties and others': {
    type: 'object',
    properties: entries(900, () => true),
    additionalProperties: { type: 'string', maxLength: 50 },
  },
  'kinds that differ at the end': { anyOf: ['b', 'c', 'd', 'e'].map(kind) },
  'references through references': {
    $defs: Object.fromEntries(
      Array.from({ length: 900 }, (_, i) => [
        `d${i}`,
        i === 899 ? { type: 'integer' } : { $ref: `#/$defs/d${i + 1}` },
      ]),
    ),
    type: 'array',
    items: { anyOf: Array.from({ length: 100 }, (_, i) => ({ $ref: `#/$defs/d${i}` })) },
  },
  'as many values as may be': { enum: Array.from({ length: 1_000 }, (_, i) => `${'v'.repeat(40)}${i}`) },
  'as many items as may be': { type: 'array', items: { type: 'string', maxLength: 20 }, maxItems: 10_000 },
  'as many characters as may be': { type: 'string', minLength: 10_000, maxLength: 10_000 },
  'numbers within bounds': {
    type: 'array',
    items: {
      anyOf: Array.from({ length: 300 }, (_, i) => ({
        type: 'number',
        minimum: i / 7,
        maximum: i * 1e9 + 0.1,
      })),
    },
  },
};
