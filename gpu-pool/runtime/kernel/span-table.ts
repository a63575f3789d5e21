import { ATTENTION_SEGMENT } from '../../kernels/sizes.ts';
import type { AttentionSpan } from '../attention-compute.ts';

/** Integers of a span: those that the constants below tell the places of. */
export const SPAN_WORDS = 7;
export const SPAN_FIRST_ROW = 0;
export const SPAN_ROWS = 1;
export const SPAN_KEYS = 2;
export const SPAN_VALUES = 3;
export const SPAN_LENGTH = 4;
/** Where segments are shared out: the first of the span's among those of all spans, and how many are not done. */
export const SPAN_FIRST_SEGMENT = 5;
export const SPAN_SEGMENTS_LEFT = 6;

/** Segments of `ATTENTION_SEGMENT` positions that a sequence of `length` has. */
export const segmentsOf = (length: number): number => Math.ceil(length / ATTENTION_SEGMENT);

/** What was written. */
export interface WrittenSpans {
  readonly spans: number;
  /** Positions that their rows attend to. */
  readonly attended: number;
  readonly segments: number;
}

/** The spans of a task, in memory that all threads see. */
export class SpanTable {
  /** Of its first integer, in bytes. */
  readonly offset: number;
  readonly #words: Int32Array;

  constructor(buffer: ArrayBufferLike, offset: number, slots: number) {
    this.offset = offset;
    this.#words = new Int32Array(buffer, offset, slots * SPAN_WORDS);
  }

  /** @param several whether spans of several rows are written, or those of one */
  write(spans: readonly AttentionSpan[], count: number, several: boolean): WrittenSpans {
    const words = this.#words;
    const written = { spans: 0, attended: 0, segments: 0 };
    for (let i = 0; i < count; i++) {
      const { firstRow, rows, keys, values, length } = spans[i]!;
      if (rows > 1 !== several) continue;
      const at = written.spans * SPAN_WORDS;
      words[at + SPAN_FIRST_ROW] = firstRow;
      words[at + SPAN_ROWS] = rows;
      words[at + SPAN_KEYS] = keys.byteOffset;
      words[at + SPAN_VALUES] = values.byteOffset;
      words[at + SPAN_LENGTH] = length;
      words[at + SPAN_FIRST_SEGMENT] = written.segments;
      words[at + SPAN_SEGMENTS_LEFT] = segmentsOf(length);
      written.spans++;
      written.attended += rows * length;
      written.segments += segmentsOf(length);
    }
    return written;
  }
}
