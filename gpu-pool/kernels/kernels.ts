import type { AttentionKernels } from './attention-kernels.ts';

/**
 * The WebAssembly kernels, bound to one memory. Pointers are byte offsets into it, 0 where something is absent; strides
 * and sizes count elements unless a name says bytes. Calls are synchronous, keep nothing between them, and may run in any
 * number of threads on one memory as long as what they write does not overlap.
 *
 * A result never depends on the rows that are computed beside it, nor on how ranges of tiles, outputs or heads are shared
 * out: it is the same bit for bit.
 */
export interface Kernels extends AttentionKernels {
  /**
   * 1 where `linear` sums four products at a time, which is faster on x86 with AVX-VNNI and wrong for int8
   * elsewhere. Found out at loading; results are the same either way. Only tests write to it.
   */
  readonly wideDot: { value: number };
  /**
   * Rounds f32 rows to int8, each with one scale, for `linear`. Fills `quantizedBytes(rows, inputSize, blockSize)`.
   * Ranges of rows can be quantised apart if each but the last has a multiple of four rows: row r starts at
   * r · quantizedBytes(1, …).
   * @param source rows of `inputSize` floats, `sourceStride` floats apart
   * @param inputSize a multiple of 4; the last block is filled up with zeros
   */
  quantizeRows(
    source: number,
    sourceStride: number,
    rows: number,
    inputSize: number,
    blockSize: number,
    target: number,
  ): void;
  /**
   * The same codes, for products elsewhere: rows of inputs padded to whole blocks as unsigned bytes, code + 128, and behind
   * them scales for `scaleSums`. Takes no more room than `quantizeRows`.
   */
  quantizePlain(
    source: number,
    sourceStride: number,
    rows: number,
    inputSize: number,
    blockSize: number,
    target: number,
  ): void;
  /** The same codes as 16-bit integers, for `sumPanel`, and behind them scales for `scalePanel`. `inputSize` is even. */
  quantizeWords(source: number, sourceStride: number, rows: number, inputSize: number, target: number): void;
  /** The same codes, for `linearWoven`. Takes no more room than `quantizeRows`. */
  quantizeWoven(
    source: number,
    sourceStride: number,
    rows: number,
    inputSize: number,
    blockSize: number,
    target: number,
  ): void;
  /**
   * `sums[m, n] = Σ_k words[m, k] · panel[k, n]`, for few rows.
   * @param words `[rows, inputSize]` from `quantizeWords`
   * @param panel signed bytes `[inputSize, width]` in layout panels
   * @param sums int32 `[rows, width]`, written, as are 16 bytes behind them
   */
  sumPanel(words: number, rows: number, panel: number, inputSize: number, width: number, sums: number): void;
  /**
   * Outputs of a panel from sums of products.
   * @param xScales f32 `[rows]`
   * @param columns of the panel that are outputs, a multiple of 4
   * @param output of the panel's first column; rows `outputStride` floats apart
   */
  scalePanel(
    sums: number,
    width: number,
    rowScales: number,
    xScales: number,
    rows: number,
    columns: number,
    output: number,
    outputStride: number,
  ): void;
  /**
   * Writes tiles `[tileBegin, tileEnd)` of a 4-bit matrix in layout tile8 as signed bytes in units of their rows' scales:
   * `[inputs padded to whole blocks, stride]`, the first tile in the first 8 columns.
   */
  spread(
    weights: number,
    inputSize: number,
    blockSize: number,
    tileBegin: number,
    tileEnd: number,
    target: number,
    stride: number,
  ): void;
  /**
   * Outputs of a 4-bit matrix from sums of products: those of `linear`.
   * @param sums int32 `[rows, sumsStride]`, the first tile in the first 8 columns
   * @param plain the rows from `quantizePlain`
   */
  scaleSums(
    sums: number,
    sumsStride: number,
    weights: number,
    inputSize: number,
    blockSize: number,
    tileBegin: number,
    tileEnd: number,
    plain: number,
    rows: number,
    output: number,
    outputStride: number,
  ): void;
  /**
   * `output[m, n] = Σ_k weights[n, k] · activations[m, k]`, for the 8 rows n of each tile in `[tileBegin, tileEnd)`.
   * @param weights in layout tile8
   * @param activations from `quantizeRows`, with the same `inputSize` and `blockSize`
   * @param output rows `outputStride` floats apart, at least 8 · the matrix' tiles
   */
  linear(
    bits: number,
    weights: number,
    inputSize: number,
    blockSize: number,
    tileBegin: number,
    tileEnd: number,
    activations: number,
    rows: number,
    output: number,
    outputStride: number,
  ): void;
  /**
   * The same of a 4-bit matrix, for many rows: tiles are spread to bytes two at a time. Fastest with an even number of tiles.
   * @param activations from `quantizeWoven`
   * @param panel `wovenBytes(inputSize, blockSize)` of memory that no other thread uses
   */
  linearWoven(
    weights: number,
    inputSize: number,
    blockSize: number,
    tileBegin: number,
    tileEnd: number,
    activations: number,
    rows: number,
    output: number,
    outputStride: number,
    panel: number,
  ): void;
  /**
   * Between the halves of an expert: `values[i] *= silu(gates[i])`.
   * @param count of floats, a multiple of 8
   */
  gate(gates: number, values: number, count: number): void;
  /**
   * `output[m, n] = Σ_k weights[n, k] · source[m, k]` in f32, for the outputs n in `[outputBegin, outputEnd)`.
   * @param source `[rows, inputSize]`; `inputSize` is a multiple of 4
   * @param weights f32 `[N, inputSize]`
   */
  linearFloat(
    source: number,
    rows: number,
    inputSize: number,
    weights: number,
    outputBegin: number,
    outputEnd: number,
    output: number,
    outputStride: number,
  ): void;
  /**
   * `sum = source + addend; output = sum / √(mean(sum²) + epsilon) · weights`, row by row.
   * @param addend `[rows, size]`, or 0
   * @param size H, a multiple of 4
   * @param sumOutput `[rows, size]`, may be `source`; may be 0 where there is no addend
   */
  rmsNorm(
    source: number,
    addend: number,
    weights: number,
    rows: number,
    size: number,
    epsilon: number,
    output: number,
    sumOutput: number,
  ): void;
  /**
   * Rotary position embedding (half-split) in place, of rows of `heads` heads that lie `stride` floats apart.
   * @param headSize D, a multiple of 8
   * @param cosines `[rows, D / 2]`, as `RotaryTable.fill` writes them; so are `sines`
   * @param weights `[D]` of an RMS norm that each head goes through first, or 0
   */
  rotate(
    vectors: number,
    stride: number,
    rows: number,
    heads: number,
    headSize: number,
    cosines: number,
    sines: number,
    weights: number,
    epsilon: number,
  ): void;
  /**
   * The `expertsPerToken` experts with the highest scores of each row, best first, equals by id, and their softmax
   * weights, which sum to one where `normalize` is 1.
   * @param scores f32 `[rows, experts]`
   * @param ids int32 `[rows, k]`, written
   * @param weights f32 `[rows, k]`, written
   */
  chooseExperts(
    scores: number,
    rows: number,
    experts: number,
    expertsPerToken: number,
    normalize: 0 | 1,
    ids: number,
    weights: number,
  ): void;
  /**
   * Index of the largest of `count` floats, a multiple of 16, the first one among equals; -1 where one of them is NaN or the
   * largest is infinite.
   */
  indexOfLargest(values: number, count: number): number;
  /**
   * `weights[i] = e^((logits[i] − largest) / temperature)`, 0 where that is below e^−87, and in `sums` the sum of every
   * `WEIGH_BLOCK` of them.
   * @param count a multiple of `WEIGH_BLOCK`
   */
  weigh(
    logits: number,
    count: number,
    largest: number,
    temperature: number,
    weights: number,
    sums: number,
  ): void;
  /** `target[i] = source[indices[i]]` for `count` rows of `rowBytes` bytes; `indices` are int32. */
  moveRows(source: number, indices: number, count: number, rowBytes: number, target: number): void;
  /** `target[i] = source[⌊pairs[i] / k⌋]` for `count` rows of `rowBytes` bytes; `pairs` are int32. */
  gatherPairs(
    source: number,
    pairs: number,
    count: number,
    expertsPerToken: number,
    rowBytes: number,
    target: number,
  ): void;
  /**
   * `output[row] = Σ_slot weights[row, slot] · expertOutputs[positions[row, slot]]` over the slots whose position lies in
   * `[positionBegin, positionEnd)`, in the slots' order, in f64, rounded once.
   * @param expertOutputs rows of `size` floats; `size` is a multiple of 8
   * @param positions int32 `[rows, k]`
   * @param weights f32 `[rows, k]`
   */
  combine(
    expertOutputs: number,
    positions: number,
    weights: number,
    rows: number,
    expertsPerToken: number,
    size: number,
    positionBegin: number,
    positionEnd: number,
    output: number,
  ): void;
}
