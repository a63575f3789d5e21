type Range = readonly [first: number, last: number];

/** Unicode characters as ranges of code points, ascending and apart. Half surrogate pairs are no characters. */
export type CharacterSet = readonly Range[];

const LAST_CODE_POINT = 0x10ffff;
const FIRST_SURROGATE = 0xd800;
const LAST_SURROGATE = 0xdfff;

/** The characters of `ranges`, which may overlap and come in any order. */
export function characterSet(ranges: readonly Range[]): CharacterSet {
  const merged: [number, number][] = [];
  for (const [first, last] of ranges.flatMap(withoutSurrogates).sort(([a], [b]) => a - b)) {
    const before = merged.at(-1);
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else merged.push([first, last]);
  }
  return merged;
}

/** Every character that is not in `set`. */
export function complement(set: CharacterSet): CharacterSet {
  const gaps: Range[] = [];
  let next = 0;
  for (const [first, last] of set) {
    gaps.push([next, first - 1]);
    next = last + 1;
  }
  return characterSet([...gaps, [next, LAST_CODE_POINT]]);
}

/** The characters of both. */
export const intersection = (a: CharacterSet, b: CharacterSet): CharacterSet =>
  complement(characterSet([...complement(a), ...complement(b)]));

export const ANY_CHARACTER: CharacterSet = complement([]);

function withoutSurrogates([first, last]: Range): Range[] {
  const parts: Range[] = [
    [first, Math.min(last, FIRST_SURROGATE - 1)],
    [Math.max(first, LAST_SURROGATE + 1), last],
  ];
  return parts.filter(([from, to]) => from <= to);
}
