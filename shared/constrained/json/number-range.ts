import { FAIL, type NodeId } from '../grammar.ts';
import type { ByteEdge, GrammarBuilder } from '../grammar-builder.ts';
import { MAX_FRACTION_DIGITS, MAX_INTEGER_DIGITS } from '../limits.ts';

/** Numbers from `lowest` to `highest`, both included; null where there is no bound on that side. */
export interface NumberRange {
  readonly lowest: number | null;
  readonly highest: number | null;
  readonly isInteger: boolean;
}

/** A number of at least 0 in decimal digits, without zeros in front of the whole part and behind the fraction. */
interface Decimal {
  readonly whole: string;
  readonly fraction: string;
}

const ZERO = 0x30;

/**
 * Reads a number of a range, digit by digit and without an exponent. A text that lies in the range as a decimal number does so
 * as a 64-bit one too, since rounding keeps the order.
 */
export function rangeNode(builder: GrammarBuilder, range: NumberRange, next: NodeId): NodeId {
  const { lowest, highest, isInteger } = range;
  if (lowest === Number.POSITIVE_INFINITY || highest === Number.NEGATIVE_INFINITY) return FAIL;
  const read = (from: number, to: number | null): NodeId =>
    new MagnitudeReader(builder, decimal(from), to === null ? null : decimal(to), isInteger, next).start();
  const signs: NodeId[] = [];
  if (highest === null || highest >= 0) signs.push(read(Math.max(lowest ?? 0, 0), highest));
  if (lowest === null || lowest < 0) {
    const smallest = Math.max(isInteger ? 1 : 0, -(highest ?? 0));
    const magnitude = read(smallest, lowest === null ? null : -lowest);
    signs.push(builder.literal('-', magnitude));
  }
  return builder.split(signs);
}

/** The next larger 64-bit number. */
export function nextUp(value: number): number {
  if (value === 0) return Number.MIN_VALUE;
  const float = Float64Array.of(value);
  const bits = new BigInt64Array(float.buffer);
  bits[0] += value > 0 ? 1n : -1n;
  return float[0];
}

/** The next smaller 64-bit number. */
export const nextDown = (value: number): number => -nextUp(-value);

/** The digits in which JavaScript writes a number of at least 0. */
function decimal(value: number): Decimal {
  const [mantissa, exponent = '0'] = String(value).split('e');
  const [before, behind = ''] = mantissa.split('.');
  const digits = before + behind;
  const point = before.length + Number(exponent);
  const whole = digits.slice(0, Math.max(0, point)).padEnd(point, '0');
  const fraction = '0'.repeat(Math.max(0, -point)) + digits.slice(Math.max(0, point));
  return { whole: whole.replace(/^0+(?=\d)/, '') || '0', fraction: fraction.replace(/0+$/, '') };
}

/**
 * Numbers of at least 0 between two others. While the digits read are those of a bound they are _tight_: the bound's next
 * digit then limits the next one.
 */
class MagnitudeReader {
  readonly #builder: GrammarBuilder;
  readonly #low: Decimal;
  readonly #high: Decimal | null;
  readonly #isInteger: boolean;
  readonly #next: NodeId;
  readonly #made = new Map<string, NodeId>();

  constructor(builder: GrammarBuilder, low: Decimal, high: Decimal | null, isInteger: boolean, next: NodeId) {
    this.#builder = builder;
    this.#low = low;
    this.#high = high;
    this.#isInteger = isInteger;
    this.#next = next;
  }

  start(): NodeId {
    const starts: NodeId[] = [];
    const most = Math.min(MAX_INTEGER_DIGITS, this.#high?.whole.length ?? MAX_INTEGER_DIGITS);
    for (let length = this.#low.whole.length; length <= most; length++) {
      const tightLow = length === this.#low.whole.length;
      const tightHigh = this.#high !== null && length === this.#high.whole.length;
      starts.push(this.#whole(length, 0, tightLow, tightHigh));
    }
    return this.#builder.split(starts);
  }

  /** Reads the digits of the whole part from number `at` on, of `length` in all. */
  #whole(length: number, at: number, tightLow: boolean, tightHigh: boolean): NodeId {
    if (at === length) return this.#behindWhole(tightLow, tightHigh);
    const smallest = at === 0 && length > 1 ? 1 : 0;
    const from = tightLow ? Number(this.#low.whole[at]) : smallest;
    const to = tightHigh ? Number(this.#high!.whole[at]) : 9;
    return this.#remember(`${length}:${at}:${tightLow}:${tightHigh}`, () =>
      this.#digits(from, to, (digit) =>
        this.#whole(length, at + 1, tightLow && digit === from, tightHigh && digit === to),
      ),
    );
  }

  #behindWhole(tightLow: boolean, tightHigh: boolean): NodeId {
    const isTooLow = tightLow && this.#low.fraction !== '';
    const fraction = this.#isInteger ? FAIL : this.#fraction(0, isTooLow, tightHigh);
    return this.#builder.split([isTooLow ? FAIL : this.#next, this.#builder.literal('.', fraction)]);
  }

  /** Reads digit number `at` behind the point and those that follow. `tooLow`: digits of the lower bound are missing. */
  #fraction(at: number, tooLow: boolean, tightHigh: boolean): NodeId {
    const { fraction: low } = this.#low;
    const from = tooLow ? Number(low[at]) : 0;
    const to = tightHigh ? Number(this.#high!.fraction[at] ?? '0') : 9;
    return this.#remember(`.${at}:${tooLow}:${tightHigh}`, () =>
      this.#digits(from, to, (digit) => {
        const staysTooLow = tooLow && digit === from && at + 1 < low.length;
        const isLast = at + 1 === MAX_FRACTION_DIGITS;
        const more = isLast ? FAIL : this.#fraction(at + 1, staysTooLow, tightHigh && digit === to);
        return this.#builder.split([staysTooLow ? FAIL : this.#next, more]);
      }),
    );
  }

  #digits(from: number, to: number, behind: (digit: number) => NodeId): NodeId {
    const edges: ByteEdge[] = [];
    for (let digit = from; digit <= to; digit++) {
      const target = behind(digit);
      const before = edges.at(-1);
      const code = ZERO + digit;
      if (before?.[2] === target) edges[edges.length - 1] = [before[0], code, target];
      else edges.push([code, code, target]);
    }
    return this.#builder.bytes(edges);
  }

  #remember(key: string, make: () => NodeId): NodeId {
    let node = this.#made.get(key);
    if (node === undefined) {
      node = make();
      this.#made.set(key, node);
    }
    return node;
  }
}
