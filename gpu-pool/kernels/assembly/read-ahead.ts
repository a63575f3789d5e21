/**
 * Reads a block from front to back, which brings it into the first-level cache faster than loops that jump about in it would. Keys,
 * values and weights were last read a whole step ago.
 * @param unused where 16 bytes may be written
 */
export function readAhead(from: usize, bytes: u32, unused: usize): void {
  let seen = v128.load(from);
  const end = from + bytes;
  for (; from < end; from += 64) seen = v128.or(seen, v128.load(from));
  // What is never used would never be read.
  v128.store(unused, seen);
}
