import { JanusError } from '../errors/janus-error.ts';

/** Sizes of the model that a trace is of. */
export interface TraceShape {
  readonly layers: number;
  /** E, logical experts per layer. */
  readonly experts: number;
  /** k, experts that the gate picks per token. */
  readonly expertsPerToken: number;
}

/** Expert ids are kept in 16 bits. */
const MOST_EXPERTS = 2 ** 16;

/**
 * Which experts the latest tokens were routed to: per layer, a window of at most `windowRows` rows; new rows push out the
 * oldest. What placement needs to know of the traffic is derived from it (`activity.ts`).
 *
 * Layers are independent: a layer's window holds whatever steps were recorded for that layer.
 */
export class ActivationTrace {
  readonly shape: TraceShape;
  readonly windowRows: number;
  /** [layers] of [windowRows, k], as rings. */
  readonly #rings: readonly Uint16Array[];
  /** [layers]: rows ever recorded. */
  readonly #recorded: Float64Array;

  /** @throws JanusError when a size is not a positive integer or there are more experts than 16 bits can tell apart. */
  constructor({ layers, experts, expertsPerToken }: TraceShape, windowRows: number) {
    for (const [name, value] of Object.entries({ layers, experts, expertsPerToken, windowRows })) {
      if (!Number.isInteger(value) || value < 1) {
        throw new JanusError(`activation trace: ${name} is ${value}; give a positive integer`);
      }
    }
    if (experts > MOST_EXPERTS || expertsPerToken > experts) {
      throw new JanusError(
        `activation trace: top-${expertsPerToken} of ${experts} experts; give at most ${MOST_EXPERTS} experts, and no ` +
          `larger expertsPerToken than there are experts`,
      );
    }
    this.shape = { layers, experts, expertsPerToken };
    this.windowRows = windowRows;
    this.#rings = Array.from({ length: layers }, () => new Uint16Array(windowRows * expertsPerToken));
    this.#recorded = new Float64Array(layers);
  }

  /**
   * Adds the routing of one layer step.
   *
   * @param expertIds [rows, k], row-major; may be longer.
   * @throws JanusError for a layer or expert that the shape does not have; then nothing is recorded.
   */
  record(layer: number, expertIds: ArrayLike<number>, rows: number): void {
    const { experts, expertsPerToken } = this.shape;
    const ring = this.#rings[layer];
    if (ring === undefined || !(rows >= 0) || rows * expertsPerToken > expertIds.length) {
      throw new JanusError(
        `activation trace: layer ${layer}, ${rows} rows in ${expertIds.length} ids; the trace is of ` +
          `${this.shape.layers} layers with ${expertsPerToken} ids per row`,
      );
    }
    for (let pair = 0; pair < rows * expertsPerToken; pair += 1) {
      if (!(expertIds[pair] >= 0 && expertIds[pair] < experts)) {
        throw new JanusError(
          `activation trace: layer ${layer}, row ${Math.floor(pair / expertsPerToken)} names expert ` +
            `${expertIds[pair]}; ids go from 0 to ${experts - 1}`,
        );
      }
    }
    // Of more rows than the window holds only the last count.
    for (let row = Math.max(0, rows - this.windowRows); row < rows; row += 1) {
      const from = row * expertsPerToken;
      const to = ((this.#recorded[layer] + row) % this.windowRows) * expertsPerToken;
      for (let slot = 0; slot < expertsPerToken; slot += 1) ring[to + slot] = expertIds[from + slot];
    }
    this.#recorded[layer] += rows;
  }

  /** Number of rows in the window of a layer. */
  rows(layer: number): number {
    return Math.min(this.#recorded[layer], this.windowRows);
  }

  /** The window of a layer, [rows, k], oldest row first; a copy. */
  window(layer: number): Uint16Array {
    const ring = this.#rings[layer];
    if (this.#recorded[layer] <= this.windowRows) {
      return ring.slice(0, this.#recorded[layer] * this.shape.expertsPerToken);
    }
    const oldest = (this.#recorded[layer] % this.windowRows) * this.shape.expertsPerToken;
    const window = new Uint16Array(ring.length);
    window.set(ring.subarray(oldest));
    window.set(ring.subarray(0, oldest), ring.length - oldest);
    return window;
  }
}
