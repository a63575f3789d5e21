type Fields = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

const typeFits = (type: unknown, value: unknown): boolean => {
  if (type === 'null') return value === null;
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return isObject(value);
  if (type === 'integer') return Number.isInteger(value);
  return typeof value === type;
};

/** Whether a value fits a JSON Schema of the supported kind, by the words of the specification; formats are not looked at. */
export function fits(schema: unknown, value: unknown, root: unknown = schema): boolean {
  if (typeof schema === 'boolean') return schema;
  const s = schema as Fields;
  const inner = (part: unknown, of: unknown): boolean => fits(part, of, root);
  if (typeof s.$ref === 'string') return inner(resolve(root, s.$ref), value);
  if (Array.isArray(s.anyOf) && !s.anyOf.some((option) => inner(option, value))) return false;
  if (Array.isArray(s.enum) && !s.enum.some((one) => same(one, value))) return false;
  if ('const' in s && !same(s.const, value)) return false;
  if (s.type !== undefined && ![s.type].flat().some((type) => typeFits(type, value))) return false;
  if (typeof value === 'string') return stringFits(s, value);
  if (typeof value === 'number') return numberFits(s, value);
  if (Array.isArray(value)) {
    const { minItems = 0, maxItems = Number.POSITIVE_INFINITY, items = true } = s;
    const counts = value.length >= Number(minItems) && value.length <= Number(maxItems);
    return counts && value.every((item) => inner(items, item));
  }
  return !isObject(value) || objectFits(s, value, inner);
}

function resolve(root: unknown, ref: string): unknown {
  return ref
    .split('/')
    .slice(1)
    .reduce((at, key) => (at as Fields)[key], root);
}

function stringFits(s: Fields, value: string): boolean {
  const { minLength = 0, maxLength = Number.POSITIVE_INFINITY, pattern = '' } = s;
  const { length } = [...value];
  return (
    length >= Number(minLength) && length <= Number(maxLength) && new RegExp(String(pattern), 'u').test(value)
  );
}

function numberFits(s: Fields, value: number): boolean {
  const infinity = Number.POSITIVE_INFINITY;
  const { minimum = -infinity, maximum = infinity } = s;
  const { exclusiveMinimum = -infinity, exclusiveMaximum = infinity } = s;
  return (
    value >= Number(minimum) &&
    value <= Number(maximum) &&
    value > Number(exclusiveMinimum) &&
    value < Number(exclusiveMaximum)
  );
}

function objectFits(s: Fields, value: Fields, inner: (part: unknown, of: unknown) => boolean): boolean {
  const { required = [], properties = {}, additionalProperties = true } = s;
  if (!(required as string[]).every((name) => Object.hasOwn(value, name))) return false;
  return Object.entries(value).every(([name, of]) =>
    Object.hasOwn(properties as object, name)
      ? inner((properties as Fields)[name], of)
      : inner(additionalProperties, of),
  );
}
