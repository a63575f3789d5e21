import type { Draw } from './draw.ts';
import { BOUNDARIES, HOSTILE_TEXTS, HOSTILE_VALUES, OTHER_NAMES } from './hostile-values.ts';

type Container = Record<string, unknown> | unknown[];

/** Where in a body a value stands. */
interface Place {
  readonly holder: Container;
  readonly key: string;
}

type Mutation = (place: Place, draw: Draw) => void;

/** Stands for one of `HOSTILE_TEXTS` until the body is text. */
const MARK = '\ue000';
const marked = (text: number): string => `${MARK}${text}${MARK}`;
const MARKED = new RegExp(`"${MARK}(\\d+)${MARK}"`, 'g');

/** Levels around a value that is put deep; deeper ones are among the texts. */
const LEVELS = [1, 3, 50, 300];
const LENGTHS = [2, 20, 200, 2_000];
/** Longer than any body may be, and seldom taken. */
const HUGE_LENGTH = 60_000;
const LONGEST_PIECE = 20;
const MOST_ELEMENTS = 3_000;

const isContainer = (value: unknown): value is Container => typeof value === 'object' && value !== null;

function placesOf(holder: Container): Place[] {
  return Object.entries(holder).flatMap(([key, value]) => [
    { holder, key },
    ...(isContainer(value) ? placesOf(value) : []),
  ]);
}

const valueAt = ({ holder, key }: Place): unknown => (holder as Record<string, unknown>)[key];

/** Not an assignment: that of `__proto__` would do something else. */
function put(holder: Container, key: string, value: unknown): void {
  if (Array.isArray(holder) && !/^\d+$/.test(key)) holder.push(value);
  else Object.defineProperty(holder, key, { value, enumerable: true, configurable: true, writable: true });
}

function drop({ holder, key }: Place): void {
  if (Array.isArray(holder)) holder.splice(Number(key), 1);
  else delete holder[key];
}

/** A copy, since what is in a body may be mutated once more. */
const copied = (from: readonly unknown[], draw: Draw): unknown => structuredClone(draw.pick(from));

const hostileValue = (draw: Draw): unknown =>
  draw.chance(0.25) ? marked(draw.below(HOSTILE_TEXTS.length)) : copied(HOSTILE_VALUES, draw);

const replace: Mutation = ({ holder, key }, draw) => put(holder, key, hostileValue(draw));

const boundary: Mutation = (place, draw) => {
  const known = Object.hasOwn(BOUNDARIES, place.key) ? BOUNDARIES[place.key] : undefined;
  if (known === undefined) replace(place, draw);
  else put(place.holder, place.key, copied(known, draw));
};

const knownBoundary: Mutation = ({ holder }, draw) => {
  const name = draw.pick(Object.keys(BOUNDARIES));
  put(holder, name, copied(BOUNDARIES[name]!, draw));
};

const rename: Mutation = (place, draw) => {
  const value = valueAt(place);
  drop(place);
  put(place.holder, draw.pick(OTHER_NAMES), value);
};

const retype: Mutation = (place, draw) => {
  const value = valueAt(place);
  const scalar = isContainer(value) ? '' : value;
  const others = [String(scalar), Number(scalar), [value], { value }, [value, value], Boolean(value)];
  put(place.holder, place.key, draw.pick(others));
};

const lengthen: Mutation = (place, draw) => {
  const value = valueAt(place);
  const times = draw.chance(0.02) ? HUGE_LENGTH : draw.pick(LENGTHS);
  const longer =
    typeof value === 'string'
      ? (value.slice(0, LONGEST_PIECE) || 'x').repeat(times)
      : Array.from({ length: Math.min(times, MOST_ELEMENTS) }, () => 1);
  put(place.holder, place.key, longer);
};

const nest: Mutation = (place, draw) => {
  let value = valueAt(place);
  for (let level = draw.pick(LEVELS); level > 0; level--) value = draw.chance(0.5) ? [value] : { a: value };
  put(place.holder, place.key, value);
};

const pollute: Mutation = ({ holder }, draw) => {
  const polluted = { polluted: true };
  if (draw.chance(0.5)) put(holder, '__proto__', draw.chance(0.5) ? polluted : null);
  else put(holder, 'constructor', { prototype: polluted });
};

const addField: Mutation = ({ holder }, draw) => put(holder, draw.pick(OTHER_NAMES), hostileValue(draw));

const MUTATIONS: readonly Mutation[] = [
  ...[drop, rename, retype, lengthen, nest, pollute, addField, knownBoundary],
  ...[replace, replace, replace, boundary, boundary, boundary],
];

/** A body with `times` mutations, as text that is mostly JSON. */
export function mutatedJson(body: unknown, times: number, draw: Draw): string {
  const root = { body: structuredClone(body) };
  for (let count = 0; count < times; count++) {
    // The body as a whole is the first place, and seldom taken.
    const places = placesOf(root);
    const place =
      places.length > 1 && !draw.chance(0.03) ? places[1 + draw.below(places.length - 1)]! : places[0];
    if (place !== undefined) draw.pick(MUTATIONS)(place, draw);
  }
  const text = JSON.stringify(root.body) ?? '';
  return text.replace(MARKED, (_, index: string) => HOSTILE_TEXTS[Number(index)]!);
}

/** The same field once more, before or behind all others: the last one counts. */
export function withTwin(text: string, draw: Draw): string {
  if (!text.startsWith('{') || !text.endsWith('}') || text.length < 3) return text;
  const twin = `${JSON.stringify(draw.pick(Object.keys(BOUNDARIES)))}:${draw.pick(HOSTILE_TEXTS)}`;
  return draw.chance(0.5) ? `{${twin},${text.slice(1)}` : `${text.slice(0, -1)},${twin}}`;
}
