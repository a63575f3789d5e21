/** Writes `text` as UTF-8 to memory of a fixed size that threads share, cut where it is too long. */
export function writeFixedText(target: Uint8Array, text: string): void {
  target.fill(0);
  target.set(new TextEncoder().encode(text).subarray(0, target.length));
}

/** The text that `writeFixedText` wrote; a character that was cut in its middle shows as U+FFFD. */
export function readFixedText(source: Uint8Array): string {
  // A decoder takes no shared memory.
  const own = source.slice();
  const end = own.indexOf(0);
  return new TextDecoder().decode(end < 0 ? own : own.subarray(0, end));
}
