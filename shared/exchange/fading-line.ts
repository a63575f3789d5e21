/** Factor of the present prediction over which a measurement counts as this much only: one hiccup must not outweigh many steps. */
const OUTLIER_FACTOR = 3;
/** Measurements from which on a prediction is good enough to tell an outlier. */
const SETTLED = 4;

/** Least squares over points of which the newest count most. Neither intercept nor slope is ever negative, as no cost is. */
export class FadingLine {
  count = 0;
  readonly #memory: number;
  #weight = 0;
  #squaredWeight = 0;
  #x = 0;
  #y = 0;
  #xx = 0;
  #xy = 0;
  #yy = 0;

  /** @param memory share of its weight that a point keeps when the next one comes, below 1 */
  constructor(memory: number) {
    this.#memory = memory;
  }

  add(x: number, y: number): void {
    const bounded = this.count < SETTLED ? y : Math.min(y, OUTLIER_FACTOR * this.at(x));
    const memory = this.#memory;
    this.count++;
    this.#weight = this.#weight * memory + 1;
    this.#squaredWeight = this.#squaredWeight * memory * memory + 1;
    this.#x = this.#x * memory + x;
    this.#y = this.#y * memory + bounded;
    this.#xx = this.#xx * memory + x * x;
    this.#xy = this.#xy * memory + x * bounded;
    this.#yy = this.#yy * memory + bounded * bounded;
  }

  /** Value of the line at `x`; 0 without points. */
  at(x: number): number {
    const { intercept, slope } = this.fit();
    return intercept + slope * x;
  }

  /** Standard error of the line at `x`, which grows away from where the points are; Infinity with fewer than two points. */
  errorAt(x: number): number {
    if (this.count < 2) return Number.POSITIVE_INFINITY;
    const { intercept, slope } = this.fit();
    // Mean of the squared residuals y − intercept − slope·x.
    const squares = this.#yy - 2 * intercept * this.#y - 2 * slope * this.#xy;
    const fitted = intercept ** 2 * this.#weight + 2 * intercept * slope * this.#x + slope ** 2 * this.#xx;
    const variance = Math.max(0, squares + fitted) / this.#weight;
    const effectiveCount = this.#weight ** 2 / this.#squaredWeight;
    const meanX = this.#x / this.#weight;
    const spread = this.#xx / this.#weight - meanX * meanX;
    const distance = (x - meanX) ** 2;
    // Points of one size say nothing about another, unless the sizes are the same.
    const leverage = distance <= 1e-9 * meanX * meanX ? 0 : distance / Math.max(spread, 1e-9 * distance);
    return Math.sqrt((variance * (1 + leverage)) / effectiveCount);
  }

  fit(): { intercept: number; slope: number } {
    if (this.#weight === 0) return { intercept: 0, slope: 0 };
    const meanX = this.#x / this.#weight;
    const meanY = this.#y / this.#weight;
    const variance = this.#xx / this.#weight - meanX * meanX;
    const covariance = this.#xy / this.#weight - meanX * meanY;
    // Steps of one size say nothing about size.
    const slope = variance > 1e-9 * meanX * meanX ? Math.max(0, covariance / variance) : 0;
    const intercept = meanY - slope * meanX;
    return intercept >= 0 ? { intercept, slope } : { intercept: 0, slope: meanY / meanX };
  }
}
