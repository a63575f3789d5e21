/** Those of the kernels (kernels.ts) that attend, and that store what is attended to. */
export interface AttentionKernels {
  /**
   * Causal attention of the newest `rows` of a sequence's `length` positions over all of them (decoding: one row), for
   * key-value heads `[kvHeadBegin, kvHeadEnd)` and their query heads.
   * @param queries `[rows, heads · D]`
   * @param keys `[length]` of `storedRowBytes`, the new rows included; so are `values`
   * @param headSize D, a multiple of 16
   * @param scale of the scores, usually 1 / √D
   * @param output `[rows, heads · D]`
   * @param scratch `attentionScratchBytes(heads, kvHeads, headSize)` that no other thread uses
   */
  attend(
    queries: number,
    rows: number,
    keys: number,
    values: number,
    length: number,
    kvHeadBegin: number,
    kvHeadEnd: number,
    heads: number,
    kvHeads: number,
    headSize: number,
    scale: number,
    output: number,
    scratch: number,
  ): void;
  /**
   * Attention of one row over segments `[segmentBegin, segmentEnd)` of what it sees, `ATTENTION_SEGMENT` positions each, for all heads.
   * Parameters as of `attend`.
   * @param parts `[segments]` of `attentionPartBytes`, from segment 0 on; those of the range are written
   */
  attendSegments(
    queries: number,
    keys: number,
    values: number,
    length: number,
    segmentBegin: number,
    segmentEnd: number,
    heads: number,
    kvHeads: number,
    headSize: number,
    scale: number,
    parts: number,
    scratch: number,
  ): void;
  /** Of the parts of all segments, which are used up, what `attend` gives for one row over `length` positions, bit for bit. */
  joinSegments(
    parts: number,
    length: number,
    heads: number,
    kvHeads: number,
    headSize: number,
    output: number,
    scratch: number,
  ): void;
  /**
   * Stores rows of keys or values for `attend`: each head's numbers as 16-bit whole numbers in units of a scale of its own, 1 / 32,767
   * of its largest number.
   * @param source f32 `[rows, kvHeads · D]`
   * @param headSize D, a multiple of 8
   * @param target `[rows]` of `storedRowBytes`
   */
  storeRows(source: number, rows: number, kvHeads: number, headSize: number, target: number): void;
}
