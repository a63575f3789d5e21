const MULTIPLIER = 0xd256d193;
const KEY_INCREMENT = 0x9e3779b9;
const ROUNDS = 10;

const words = new Uint32Array(2);

/**
 * The random number of one answer position: Philox2x32-10 with the seed as key and the position as counter (Salmon et al.,
 * "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011). There is no state, so token i of a sequence has the same draw
 * after a failover, in any batch, and however often it is asked for.
 *
 * @param seed unsigned 32-bit
 * @param position whole number in [0, 2^53)
 * @returns a multiple of 2^-53 in [0, 1)
 */
export function uniform(seed: number, position: number): number {
  philox2x32(position >>> 0, Math.floor(position / 0x1_0000_0000), seed, words);
  return (words[0] * 0x20_0000 + (words[1] >>> 11)) / 0x20_0000_0000_0000;
}

/** The generator itself, on unsigned 32-bit words; `out` receives two. */
export function philox2x32(counterLow: number, counterHigh: number, key: number, out: Uint32Array): void {
  let left = counterLow;
  let right = counterHigh;
  let roundKey = key;
  for (let round = 0; round < ROUNDS; round++) {
    const high = multiplyHigh(MULTIPLIER, left >>> 0);
    const low = Math.imul(MULTIPLIER, left);
    left = high ^ roundKey ^ right;
    right = low;
    roundKey = (roundKey + KEY_INCREMENT) | 0;
  }
  out[0] = left;
  out[1] = right;
}

/** Upper 32 bits of the 64-bit product of two unsigned 32-bit numbers, by halves of 16 bits. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const otherMiddle = aLow * bHigh + (middle & 0xffff);
  return aHigh * bHigh + (middle >>> 16) + (otherMiddle >>> 16);
}
