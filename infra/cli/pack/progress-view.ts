/** Between two pictures of the bar. */
const BAR_INTERVAL_MS = 100;
/** Between two lines where there is no terminal. */
const LINE_INTERVAL_MS = 5_000;
const BAR_CELLS = 24;

/** The part of `process.stderr` that is used. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** Shows how far a long work is: a bar on a terminal, else a line now and then. */
export class ProgressView {
  readonly #stream: ProgressStream;
  readonly #nowMs: () => number;
  readonly #startMs: number;
  #shownAtMs: number;
  readonly #unit: string;
  readonly #doneBefore: number;
  #barShown = false;

  /**
   * @param unit what is counted
   * @param doneBefore how much of it was done before the view began, which tells nothing of the rate
   */
  constructor(stream: ProgressStream, nowMs: () => number, unit = 'weights', doneBefore = 0) {
    this.#stream = stream;
    this.#nowMs = nowMs;
    this.#unit = unit;
    this.#doneBefore = doneBefore;
    this.#startMs = nowMs();
    this.#shownAtMs = this.#startMs;
  }

  show(done: number, total: number): void {
    const nowMs = this.#nowMs();
    const interval = this.#stream.isTTY ? BAR_INTERVAL_MS : LINE_INTERVAL_MS;
    if (nowMs - this.#shownAtMs < interval) return;
    this.#shownAtMs = nowMs;
    const text = formatProgress(done, total, nowMs - this.#startMs, this.#unit, this.#doneBefore);
    if (!this.#stream.isTTY) {
      this.#stream.write(`${text}\n`);
      return;
    }
    const filled = Math.round((done / total) * BAR_CELLS);
    const bar = '█'.repeat(filled) + '░'.repeat(BAR_CELLS - filled);
    this.#stream.write(`\r${bar} ${text}\x1b[K`);
    this.#barShown = true;
  }

  /** Clears the bar, so that what is written next begins at an empty line. */
  clear(): void {
    if (this.#barShown) this.#stream.write('\r\x1b[K');
    this.#barShown = false;
  }
}

/** Share, count, rate and time left at the mean rate so far. */
export function formatProgress(
  done: number,
  total: number,
  elapsedMs: number,
  unit = 'weights',
  doneBefore = 0,
): string {
  const percent = `${Math.floor((done / total) * 100)}%`.padStart(4);
  const counts = `${percent}  ${formatCount(done)} of ${formatCount(total)} ${unit}`;
  if (done <= doneBefore) return counts;
  const perSecond = ((done - doneBefore) / elapsedMs) * 1_000;
  const leftS = Math.ceil((total - done) / perSecond);
  return `${counts}, ${formatRate(perSecond)}, ${formatTime(leftS)} left`;
}

/** A rate below one per second is told per minute. */
const formatRate = (perSecond: number): string =>
  perSecond < 1 ? `${formatCount(perSecond * 60)}/min` : `${formatCount(perSecond)}/s`;

/** Three digits and a unit, for example 1.73 G. */
export function formatCount(count: number): string {
  const units = ['', ' k', ' M', ' G', ' T'];
  let power = 0;
  let value = count;
  while (value >= 999.5 && power < units.length - 1) {
    value /= 1_000;
    power += 1;
  }
  return `${power === 0 ? Math.round(value) : value.toPrecision(3)}${units[power]}`;
}

function formatTime(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}
