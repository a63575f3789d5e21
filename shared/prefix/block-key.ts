/** Tokens of one block: what prefixes are compared and kept by. */
export const BLOCK_TOKENS = 64;

/** Key in front of a sequence's first block. */
export const ROOT_KEY = 0;

const LOW_WORDS = 2 ** 32;
/** What remains for the high word in a number that is exact as an integer. */
const HIGH_BITS = 21;

/**
 * Hash of a block of token ids and, through `parentKey`, of everything before it: two blocks with the same ids behind
 * different prefixes have different keys. cyrb53 (bryc, public domain) over ids instead of characters, with the parent's
 * key for a seed. Not cryptographic: whoever looks a key up has to compare the ids as well.
 *
 * @param parentKey key of the block before, or `ROOT_KEY`
 * @param from position in `tokens` of the block's first id
 * @returns a whole number from 0 to 2^53 − 1
 */
export function blockKey(parentKey: number, tokens: ArrayLike<number>, from: number): number {
  let low = 0xdeadbeef ^ parentKey;
  let high = 0x41c6ce57 ^ Math.floor(parentKey / LOW_WORDS);
  for (let i = from; i < from + BLOCK_TOKENS; i++) {
    low = Math.imul(low ^ tokens[i], 0x9e3779b1);
    high = Math.imul(high ^ tokens[i], 0x5f356495);
  }
  const lowMixed = Math.imul(low ^ (low >>> 16), 0x85ebca6b) ^ Math.imul(high ^ (high >>> 13), 0xc2b2ae35);
  const highMixed =
    Math.imul(high ^ (high >>> 16), 0x85ebca6b) ^ Math.imul(lowMixed ^ (lowMixed >>> 13), 0xc2b2ae35);
  return (highMixed >>> (32 - HIGH_BITS)) * LOW_WORDS + (lowMixed >>> 0);
}
