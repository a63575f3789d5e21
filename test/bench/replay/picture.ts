import { percentile } from '../results.ts';
import { gapsOf } from './clients.ts';
import { type Day, rateAt } from './day.ts';
import type { Played } from './play.ts';

const WIDTH = 720;
const PANEL = 130;
const GAP = 46;
const LEFT = 60;
const TOP = 40;
const SLICES = 60;
/** Distinguishable with every common colour vision deficiency (Okabe and Ito, 2008). */
const [DEMAND, PROCESSES, TIMES, LIMIT] = ['#0072b2', '#009e73', '#cc79a7', '#d55e00'] as const;

interface Line {
  readonly colour: string;
  /** Share of the day, and value. */
  readonly points: readonly (readonly [share: number, value: number])[];
}

/** Demand, processes, and times between tokens over the day, as an SVG picture. */
export function drawReplay(day: Day, tpotMs: number, played: Played): string {
  const shares = Array.from({ length: SLICES + 1 }, (_, i) => i / SLICES);
  const demand = shares.map((share) => [share, rateAt(day, share * day.durationMs)] as const);
  const processes = played.sizes.map(
    ({ atMs, processes: count }) => [Math.min(1, atMs / day.durationMs), count] as const,
  );
  const panels = [
    panel('requests per second', [{ colour: DEMAND, points: demand }]),
    panel('processes', [{ colour: PROCESSES, points: processes }]),
    panel(`time between tokens, p95 in ms (SLO ${tpotMs} ms)`, [
      { colour: TIMES, points: slowTokens(day, played) },
      {
        colour: LIMIT,
        points: [
          [0, tpotMs],
          [1, tpotMs],
        ],
      },
    ]),
  ];
  const [width, height] = [LEFT + WIDTH + 20, TOP + panels.length * (PANEL + GAP)];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11">`,
    '<title>A compressed day: demand, processes, and times between tokens</title>',
    `<rect width="${width}" height="${height}" fill="white"/>`,
    ...panels.map(
      (content, i) => `<g transform="translate(${LEFT} ${TOP + i * (PANEL + GAP)})">${content}</g>`,
    ),
    '</svg>\n',
  ].join('\n');
}

function slowTokens(day: Day, { answers }: Played): (readonly [number, number])[] {
  const slices: number[][] = Array.from({ length: SLICES }, () => []);
  for (const { atMs, gapMs } of gapsOf(answers)) {
    slices[Math.min(SLICES - 1, Math.floor((SLICES * atMs) / day.durationMs))]!.push(gapMs);
  }
  return slices.flatMap((gaps, i) =>
    gaps.length === 0 ? [] : [[(i + 0.5) / SLICES, percentile(gaps, 0.95)] as const],
  );
}

function panel(title: string, lines: readonly Line[]): string {
  const top = 1.1 * Math.max(...lines.flatMap(({ points }) => points.map(([, value]) => value)), 1e-9);
  const at = ([share, value]: readonly [number, number]): string =>
    `${(share * WIDTH).toFixed(1)},${(PANEL * (1 - value / top)).toFixed(1)}`;
  const drawn = lines.map(
    ({ colour, points }) =>
      `<polyline fill="none" stroke="${colour}" stroke-width="1.5" points="${points.map(at).join(' ')}"/>`,
  );
  return [
    `<text y="-8">${title}</text>`,
    `<rect width="${WIDTH}" height="${PANEL}" fill="none" stroke="#ccc"/>`,
    `<text x="-6" y="10" text-anchor="end">${top.toPrecision(3)}</text>`,
    `<text x="-6" y="${PANEL}" text-anchor="end">0</text>`,
    ...drawn,
  ].join('\n');
}
