/** A line of a file that holds something. */
export interface RawLine {
  /** From 1 on; lines that hold nothing count too. */
  readonly number: number;
  /** Without the line's end. */
  readonly bytes: Uint8Array;
}

export const NEWLINE = 0x0a;
const SPACE = 0x20;

/** JSON's white space, and control characters with it, which are an error only beside something else. */
const isBlank = (bytes: Uint8Array): boolean => bytes.every((byte) => byte <= SPACE);

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  if (pieces.length === 1) return pieces[0]!;
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/** The lines of a file but for blank ones. It holds one line at a time, whose length the upload has bounded. */
export async function* readLines(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<RawLine, void, undefined> {
  let number = 0;
  let pieces: Uint8Array[] = [];
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      pieces.push(chunk.subarray(start, end));
      const bytes = joined(pieces);
      number += 1;
      if (!isBlank(bytes)) yield { number, bytes };
      pieces = [];
      start = end + 1;
    }
    if (start < chunk.length) pieces.push(chunk.subarray(start));
  }
  if (pieces.length === 0) return;
  const bytes = joined(pieces);
  if (!isBlank(bytes)) yield { number: number + 1, bytes };
}
