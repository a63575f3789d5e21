import { shareInTime, type TokenTargets } from './attainment.ts';
import { type Day, rateAt } from './day.ts';
import type { Played, SizeSample } from './play.ts';

const WIDTH = 720;
const PANEL = 130;
const GAP = 46;
const LEFT = 60;
const TOP = 40;
const SLICES = 60;
/** Distinguishable with every common colour vision deficiency (Okabe and Ito, 2008). */
const [DEMAND, PROCESSES, WANTED, TIMES, LIMIT] = [
  '#0072b2',
  '#009e73',
  '#e69f00',
  '#cc79a7',
  '#d55e00',
] as const;
/** Attainments below this are cut off, so that those above it can be told apart. */
const LOWEST_PERCENT = 90;

interface Line {
  readonly name: string;
  readonly colour: string;
  /** Share of the day, and value. */
  readonly points: readonly (readonly [share: number, value: number])[];
}

/** Load, instances and attainment over the day, as an SVG picture. */
export function drawReplay(day: Day, targets: TokenTargets, played: Played): string {
  const shares = Array.from({ length: SLICES + 1 }, (_, i) => i / SLICES);
  const answered = slicesOf(
    day,
    played.answers.flatMap(({ readAtMs }) => readAtMs.map((atMs) => ({ atMs, inTime: true }))),
  );
  const sliceSeconds = day.durationMs / SLICES / 1_000;
  const panels = [
    panel('tokens per second', [
      {
        name: 'asked for on average',
        colour: DEMAND,
        points: shares.map((share) => [share, meanAnswer(day) * rateAt(day, share * day.durationMs)]),
      },
      {
        name: 'answered',
        colour: TIMES,
        points: answered.map(([share, { asked }]) => [share, asked / sliceSeconds]),
      },
    ]),
    panel('instances of both pools', [
      { name: 'processes', colour: PROCESSES, points: sizesOver(day, played, ({ processes }) => processes) },
      {
        name: 'wanted',
        colour: WANTED,
        points: sizesOver(day, played, ({ wanted }) => wanted.attention + wanted.experts),
      },
    ]),
    panel(
      `tokens in time, in percent (first within ${targets.ttftMs} ms, later within ${targets.tpotMs} ms)`,
      [
        { name: 'in time', colour: TIMES, points: attainmentOver(day, targets, played) },
        {
          name: 'wanted over the day',
          colour: LIMIT,
          points: [
            [0, 99],
            [1, 99],
          ],
        },
      ],
      LOWEST_PERCENT,
      100,
    ),
  ];
  const [width, height] = [LEFT + WIDTH + 20, TOP + panels.length * (PANEL + GAP)];
  const under = height - GAP + 16;
  const minutes = (day.durationMs / 60_000).toPrecision(3);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11">`,
    '<title>A compressed day: load, instances, and attainment</title>',
    `<rect width="${width}" height="${height}" fill="white"/>`,
    ...panels.map(
      (content, i) => `<g transform="translate(${LEFT} ${TOP + i * (PANEL + GAP)})">${content}</g>`,
    ),
    `<text x="${LEFT}" y="${under}">0 minutes</text>`,
    `<text x="${LEFT + WIDTH}" y="${under}" text-anchor="end">${minutes}</text>`,
    '</svg>\n',
  ].join('\n');
}

const meanAnswer = ({ answerTokens: [least, most] }: Day): number => (least + most) / 2;

/** The moments before and after each change. */
function sizesOver(
  { durationMs }: Day,
  { sizes }: Played,
  sizeOf: (sample: SizeSample) => number,
): Line['points'] {
  const points = sizes.map((sample) => [Math.min(1, sample.atMs / durationMs), sizeOf(sample)] as const);
  return points.filter(([, size], i) => !(points[i - 1]?.[1] === size && points[i + 1]?.[1] === size));
}

function attainmentOver(day: Day, { ttftMs, tpotMs }: TokenTargets, { answers }: Played): Line['points'] {
  const tokens = answers.flatMap(({ sentAtMs, readAtMs }) =>
    readAtMs.map((atMs, i) => ({
      atMs,
      inTime: i === 0 ? atMs - sentAtMs <= ttftMs : atMs - readAtMs[i - 1]! <= tpotMs,
    })),
  );
  return slicesOf(day, tokens).map(([share, counted]) => [share, 100 * shareInTime(counted)] as const);
}

/** Tokens by the slice of the day in which they were read, each slice with the share of the day at its middle. */
function slicesOf(
  { durationMs }: Day,
  tokens: readonly { readonly atMs: number; readonly inTime: boolean }[],
): (readonly [share: number, { readonly asked: number; readonly inTime: number }])[] {
  const slices = Array.from({ length: SLICES }, () => ({ asked: 0, inTime: 0 }));
  for (const { atMs, inTime } of tokens) {
    const slice = slices[Math.min(SLICES - 1, Math.floor((SLICES * atMs) / durationMs))]!;
    slice.asked += 1;
    if (inTime) slice.inTime += 1;
  }
  return slices.map((slice, i) => [(i + 0.5) / SLICES, slice] as const);
}

/** @param top of the axis; what fits all values where absent */
function panel(title: string, lines: readonly Line[], bottom = 0, top?: number): string {
  const highest =
    top ?? 1.1 * Math.max(...lines.flatMap(({ points }) => points.map(([, value]) => value)), 1e-9);
  const at = ([share, value]: readonly [number, number]): string => {
    const height = (Math.max(bottom, value) - bottom) / (highest - bottom);
    return `${(share * WIDTH).toFixed(1)},${(PANEL * (1 - height)).toFixed(1)}`;
  };
  const drawn = lines.map(
    ({ colour, points }) =>
      `<polyline fill="none" stroke="${colour}" stroke-width="1.5" points="${points.map(at).join(' ')}"/>`,
  );
  const legend = lines.map(({ name, colour }) => `<tspan fill="${colour}" dx="12">${name}</tspan>`).join('');
  return [
    `<text y="-8">${title}${legend}</text>`,
    `<rect width="${WIDTH}" height="${PANEL}" fill="none" stroke="#ccc"/>`,
    `<text x="-6" y="10" text-anchor="end">${highest.toPrecision(3)}</text>`,
    `<text x="-6" y="${PANEL}" text-anchor="end">${bottom}</text>`,
    ...drawn,
  ].join('\n');
}
