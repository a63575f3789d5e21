/**
 * Reads a block from front to back, which brings it into the first-level cache faster than loops that jump about in it would. Keys,
 * values and weights were last read a whole step ago.
 * @param unused where 16 bytes may be written
 */
export function readAhead(from: usize, bytes: u32, unused: usize): void {
  const end = from + bytes;
  // From the beginning of a cache line, so that the last one is not missed.
  from &= ~63;
  let seen = v128.load(from);
  for (; from < end; from += 64) seen = v128.or(seen, v128.load(from));
  // What is never used would never be read.
  v128.store(unused, seen);
}
