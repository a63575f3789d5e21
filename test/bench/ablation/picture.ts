import { axes, type Cell, findCell } from './cell.ts';
import { type Configuration, REFERENCE } from './configurations.ts';

const PANEL_WIDTH = 270;
const PANEL_HEIGHT = 170;
const GAP = 62;
const LEFT = 56;
const TOP = 58;
const LEGEND_WIDTH = 150;
/** Horizontal lines of a panel. */
const GRID_LINES = 4;
/** Distinguishable with every common colour vision deficiency (Okabe and Ito, 2008). */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9'];

interface Series {
  readonly label: string;
  readonly wanted: Partial<Configuration>;
}

const ONE_PHASE = { phases: '1PC', scheduler: 'aebs' } as const;

/** What one row of panels compares. */
const ROWS_OF_PANELS: readonly { readonly title: string; readonly series: readonly Series[] }[] = [
  {
    title: 'phases and gate, AEBS',
    series: [
      { label: '1PC, gate at experts', wanted: { ...ONE_PHASE, gate: 'experts' } },
      { label: '1PC, gate at attention', wanted: { ...ONE_PHASE, gate: 'attention' } },
      { label: '2PC, gate at experts', wanted: { ...REFERENCE, gate: 'experts' } },
      { label: '2PC, gate at attention', wanted: REFERENCE },
    ],
  },
  {
    title: 'schedulers, 2PC, gate at attention',
    series: (['aebs', 'optimal', 'token-balanced', 'random', 'eplb'] as const).map((scheduler) => ({
      label: scheduler,
      wanted: { ...REFERENCE, scheduler },
    })),
  },
];

/** TPOT over rows as an SVG picture: a column of panels per delay, a row per comparison. */
export function drawAblation(cells: readonly Cell[]): string {
  const { rows, delaysMs } = axes(cells);
  const width = LEFT + delaysMs.length * (PANEL_WIDTH + GAP) - GAP + 16 + LEGEND_WIDTH;
  const height = TOP + ROWS_OF_PANELS.length * (PANEL_HEIGHT + TOP);
  const panels = ROWS_OF_PANELS.flatMap(({ title, series }, row) => {
    const y = TOP + row * (PANEL_HEIGHT + TOP);
    const drawn = delaysMs.map((delayMs, column) => {
      const x = LEFT + column * (PANEL_WIDTH + GAP);
      const heading = `${title}, ${delayMs} ms between nodes`;
      return `<g transform="translate(${x} ${y})">${panel(cells, series, rows, delayMs, heading)}</g>`;
    });
    return [...drawn, legend(series, width - LEGEND_WIDTH, y)];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11">`,
    '<title>TPOT p50 in ms over decoding rows, for each configuration of the ablation</title>',
    `<rect width="${width}" height="${height}" fill="white"/>`,
    `<text x="${LEFT}" y="20" font-size="14">TPOT p50 in ms over decoding rows</text>`,
    ...panels,
    '</svg>\n',
  ].join('\n');
}

function panel(
  cells: readonly Cell[],
  series: readonly Series[],
  rows: readonly number[],
  delayMs: number,
  heading: string,
): string {
  const lines = series.map(({ wanted }) =>
    rows.map((count) => findCell(cells, { ...wanted, rows: count, delayMs })?.tpotP50Ms),
  );
  const top = niceCeiling(Math.max(...lines.flat().map((ms) => ms ?? 0)));
  const xOf = (index: number): number => ((index + 0.5) * PANEL_WIDTH) / rows.length;
  const yOf = (ms: number): number => PANEL_HEIGHT * (1 - ms / top);
  const grid = Array.from({ length: GRID_LINES + 1 }, (_, i) => {
    const ms = (top * i) / GRID_LINES;
    const at = yOf(ms).toFixed(1);
    return (
      `<path d="M0 ${at}H${PANEL_WIDTH}" stroke="#ddd"/>` +
      `<text x="-6" y="${at}" dy="4" text-anchor="end">${Number(ms.toPrecision(3))}</text>`
    );
  });
  const labels = rows.map(
    (count, i) => `<text x="${xOf(i)}" y="${PANEL_HEIGHT + 16}" text-anchor="middle">${count}</text>`,
  );
  const curves = lines.map((values, i) => curve(values, xOf, yOf, COLOURS[i % COLOURS.length]!));
  return [`<text y="-10">${heading}</text>`, ...grid, ...labels, ...curves].join('');
}

/** A line through the points that were measured. */
function curve(
  values: readonly (number | undefined)[],
  xOf: (index: number) => number,
  yOf: (ms: number) => number,
  colour: string,
): string {
  const points = values.flatMap((ms, i) =>
    ms === undefined ? [] : [[xOf(i).toFixed(1), yOf(ms).toFixed(1)]],
  );
  if (points.length === 0) return '';
  const path = points.map(([x, y]) => `${x} ${y}`).join('L');
  const dots = points.map(([x, y]) => `<circle cx="${x}" cy="${y}" r="3" fill="${colour}"/>`).join('');
  return `<path d="M${path}" fill="none" stroke="${colour}" stroke-width="2"/>${dots}`;
}

function legend(series: readonly Series[], x: number, y: number): string {
  const lines = series.map(({ label }, i) => {
    const at = 10 + i * 18;
    const colour = COLOURS[i % COLOURS.length];
    return (
      `<path d="M0 ${at}h18" stroke="${colour}" stroke-width="2"/>` +
      `<text x="24" y="${at + 4}">${label}</text>`
    );
  });
  return `<g transform="translate(${x} ${y})">${lines.join('')}</g>`;
}

/** The smallest of 1, 2, 4, 6, 8, 10 times a power of ten that is not below `value`. */
function niceCeiling(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 4, 6, 8, 10].find((step) => step * power >= value)!;
}
