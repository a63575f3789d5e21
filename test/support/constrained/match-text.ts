type Fields = Readonly<Record<string, unknown>>;

/** Whole JSON texts in the form that compile-schema.ts promises, found by trying: the reference for the automaton. */
export function matchesText(schema: unknown, text: string): boolean {
  return new TextMatcher(schema, text).ends(schema, 0).has(text.length);
}

/** `JSON.parse` says what may stand inside. */
const STRING = /"(?:[^"\\]|\\.)*"/uy;
const INTEGER = /-?(?:0|[1-9]\d{0,20})/y;
const PLAIN = /-?(?:0|[1-9]\d{0,20})(?:\.\d{1,25})?/y;
const SCIENTIFIC =
  /-?\d(?:\.\d{1,25})?[eE](?:\+?(?:30[0-7]|[12]\d\d|[1-9]\d|\d)|-(?:32[0-4]|3[01]\d|[12]\d\d|[1-9]\d|\d))/y;

/** Positions at which something that starts at a position may end. */
type Ends = ReadonlySet<number>;
type Step = (at: number) => Ends;

class TextMatcher {
  readonly #root: unknown;
  readonly #text: string;

  constructor(root: unknown, text: string) {
    this.#root = root;
    this.#text = text;
  }

  ends(schema: unknown, at: number): Ends {
    if (schema === false) return new Set();
    const s = (schema === true ? {} : schema) as Fields;
    if (typeof s.$ref === 'string') return this.ends(this.#resolve(s.$ref), at);
    if (Array.isArray(s.anyOf)) return union(s.anyOf.map((option) => this.ends(option, at)));
    if ('const' in s) return this.#value(s.const, at);
    if (Array.isArray(s.enum)) return union(s.enum.map((value) => this.#value(value, at)));
    const all = ['object', 'array', 'string', 'number', 'boolean', 'null'];
    const types = s.type === undefined ? all : ([s.type].flat() as string[]);
    return union(types.map((type) => this.#ofType(type, s, at)));
  }

  #resolve(ref: string): unknown {
    const tokens = ref.split('/').slice(1);
    return tokens.reduce((at, key) => (at as Fields)[key], this.#root);
  }

  #ofType(type: string, s: Fields, at: number): Ends {
    if (type === 'object') return this.#object(s, at);
    if (type === 'array') return this.#array(s, at);
    if (type === 'string') return this.#string(s, at);
    if (type === 'null') return this.#literal('null', at);
    if (type === 'boolean') return union([this.#literal('true', at), this.#literal('false', at)]);
    return this.#number(s, type === 'integer', at);
  }

  #literal(text: string, at: number): Ends {
    return this.#text.startsWith(text, at) ? new Set([at + text.length]) : new Set();
  }

  #token(expression: RegExp, at: number): string | undefined {
    expression.lastIndex = at;
    return expression.exec(this.#text)?.[0];
  }

  #stringToken(at: number): string | undefined {
    const token = this.#token(STRING, at);
    try {
      if (token !== undefined) JSON.parse(token);
      return token;
    } catch {
      return undefined;
    }
  }

  #string(s: Fields, at: number): Ends {
    const token = this.#stringToken(at);
    if (token === undefined) return new Set();
    const value = JSON.parse(token) as string;
    const { minLength = 0, maxLength = Number.POSITIVE_INFINITY, pattern } = s;
    const { length } = [...value];
    const hasForm =
      pattern === undefined ||
      (JSON.stringify(value) === token && new RegExp(String(pattern), 'u').test(value));
    const fits =
      value.isWellFormed() && hasForm && length >= Number(minLength) && length <= Number(maxLength);
    return fits ? new Set([at + token.length]) : new Set();
  }

  #number(s: Fields, isInteger: boolean, at: number): Ends {
    const bounds = ['minimum', 'maximum'].filter((name) => s[name] !== undefined);
    const forms = isInteger ? [INTEGER] : bounds.length > 0 ? [PLAIN] : [PLAIN, SCIENTIFIC];
    const { minimum = Number.NEGATIVE_INFINITY, maximum = Number.POSITIVE_INFINITY } = s;
    const ends = new Set<number>();
    for (const form of forms) {
      const token = this.#token(form, at);
      if (token === undefined) continue;
      const value = Number(token);
      const isNegativeZero = bounds.length > 0 && Object.is(value, -0) && (isInteger || Number(minimum) >= 0);
      if (value >= Number(minimum) && value <= Number(maximum) && !isNegativeZero)
        ends.add(at + token.length);
    }
    return ends;
  }

  /** At most one space. */
  #spaced(step: Step): Step {
    return (at) => union([step(at), ...(this.#text[at] === ' ' ? [step(at + 1)] : [])]);
  }

  #sequence(...steps: readonly Step[]): Step {
    return (at) =>
      steps.reduce<Ends>((ends, step) => union(Array.from(ends, (end) => step(end))), new Set([at]));
  }

  #close(from: Ends, bracket: string, closed: Set<number>): void {
    for (const at of from) {
      if (this.#text[at] === bracket) closed.add(at + 1);
    }
  }

  #array(s: Fields, at: number): Ends {
    const { minItems = 0, maxItems = Number.POSITIVE_INFINITY, items = true } = s;
    const item: Step = (start) => this.ends(items, start);
    const comma: Step = (start) => this.#literal(',', start);
    const open = this.#literal('[', at);
    const closed = new Set<number>();
    let reached: Ends = open;
    for (let count = 0; reached.size > 0 && count <= Number(maxItems); count++) {
      if (count >= Number(minItems)) this.#close(reached, ']', closed);
      const next = count === 0 ? item : this.#sequence(comma, this.#spaced(item));
      reached = union([...reached].map(next));
    }
    return closed;
  }

  #object(s: Fields, at: number): Ends {
    const { properties = {}, required = [], additionalProperties = s.properties === undefined } = s;
    const declared = Object.entries(properties as Fields);
    const names = new Set(declared.map(([name]) => name));
    const member = (key: Step, schema: unknown): Step =>
      this.#sequence(
        key,
        (to) => this.#literal(':', to),
        this.#spaced((to) => this.ends(schema, to)),
      );
    const free = member((to) => this.#freeKey(names, to), additionalProperties);
    const closed = new Set<number>();
    const visit = (from: Ends, index: number, isFirst: boolean): void => {
      if (from.size === 0) return;
      const lead = (step: Step): Step =>
        isFirst ? step : this.#sequence((to) => this.#literal(',', to), this.#spaced(step));
      const step = (next: Step): Ends => union([...from].map(lead(next)));
      if (index < declared.length) {
        const [name, schema] = declared[index]!;
        visit(step(member((to) => this.#literal(JSON.stringify(name), to), schema)), index + 1, false);
        if (!(required as string[]).includes(name)) visit(from, index + 1, isFirst);
        return;
      }
      this.#close(from, '}', closed);
      if (additionalProperties !== false) visit(step(free), index, false);
    };
    visit(this.#literal('{', at), 0, true);
    return closed;
  }

  #freeKey(names: ReadonlySet<string>, at: number): Ends {
    const token = this.#stringToken(at);
    if (token === undefined) return new Set();
    const name = JSON.parse(token) as string;
    const hasForm = names.size === 0 || (JSON.stringify(name) === token && !names.has(name));
    return name.isWellFormed() && hasForm ? new Set([at + token.length]) : new Set();
  }

  /** Exactly one value. */
  #value(value: unknown, at: number): Ends {
    if (Array.isArray(value)) {
      if (value.length === 0) return this.#literal('[]', at);
      const [first, ...rest] = value.map(
        (item): Step =>
          (to) =>
            this.#value(item, to),
      );
      const others = rest.map((item) => this.#sequence((to) => this.#literal(',', to), this.#spaced(item)));
      return this.#sequence(
        (to) => this.#literal('[', to),
        first!,
        ...others,
        (to) => this.#literal(']', to),
      )(at);
    }
    if (typeof value !== 'object' || value === null) return this.#literal(JSON.stringify(value), at);
    const properties = Object.fromEntries(
      Object.entries(value).map(([name, inner]) => [name, { const: inner }]),
    );
    return this.#object({ properties, required: Object.keys(value) }, at);
  }
}

const union = (sets: readonly Ends[]): Ends => new Set(sets.flatMap((set) => [...set]));
