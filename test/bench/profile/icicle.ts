import { median } from '../results.ts';
import type { BatchProfile } from './report.ts';
import { EXPERTS, type Part } from './step-profile.ts';

const WIDTH = 1_000;
const MARGIN = 16;
const ROW_HEIGHT = 24;
const HEADING_HEIGHT = 36;
/** Between the rows of one thread and those of the next. */
const THREAD_GAP = 22;
/** Of the labels, in px: for telling which fit into their boxes. */
const CHARACTER_WIDTH = 6.2;
const LABEL_MARGIN = 4;

/** Light tints of the colours of Okabe and Ito (2008), which are told apart with every common colour vision deficiency. */
const COLOURS: Readonly<Record<string, string>> = {
  [EXPERTS]: '#f2c9a8',
  assisting: '#f2b27e',
  waiting: '#fae3d1',
  exchange: '#f7edb5',
  'scheduling, grouping': '#efe08a',
  combining: '#efe08a',
  'choosing hosts': '#efe08a',
  pre: '#a9d0ea',
  attention: '#8fc1e3',
  post: '#a9d0ea',
  'LM head': '#a3d9c7',
  sampling: '#e5c3d8',
};
const OTHER_COLOUR = '#e3e3e3';

interface Box {
  readonly name: string;
  readonly ms: number;
  /** Of the box's beginning, in ms of the step. */
  readonly atMs: number;
  readonly row: number;
  readonly colour: string;
}

/**
 * One panel per batch, in which the full width is one mean step: parts lie under what they are part of, and the same part of all
 * layers is one box. Under the attention instance's thread lie the others, which work at the same time.
 */
export function drawIcicles(batches: readonly BatchProfile[]): string {
  let y = 0;
  const panels = batches.map((batch) => {
    const { content, height } = drawPanel(batch);
    const panel = `<g transform="translate(${MARGIN} ${y})">${content}</g>`;
    y += height;
    return panel;
  });
  const width = WIDTH + 2 * MARGIN;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y}" font-family="sans-serif" font-size="11">`,
    '<title>Where the time of a decode step goes</title>',
    `<rect width="${width}" height="${y}" fill="white"/>`,
    ...panels,
    '</svg>\n',
  ].join('\n');
}

function drawPanel({ batch, profile, requests }: BatchProfile): { content: string; height: number } {
  const { step, layers } = profile;
  const boxes = boxesOf(step, 0, 0);
  const stepRows = 1 + Math.max(...boxes.map(({ row }) => row));
  const expertsAtMs = boxes.find(({ name }) => name === EXPERTS)!.atMs;
  const instances = profile.experts.slice(0, -1);
  const readMs = median(requests.flatMap((request) => request.readMs));
  const threads: { label: string; boxes: Box[] }[] = [
    { label: 'attention instance', boxes },
    ...instances.map(({ thread, msPerStep, groupsPerLayerStep, usPerGroup }) => ({
      label: `${thread}: ${groupsPerLayerStep.toFixed(1)} groups per layer step, ${usPerGroup.toFixed(0)} µs each`,
      boxes: [box(EXPERTS, msPerStep, expertsAtMs, 0)],
    })),
    {
      label: 'the tokens of a step on their way, while the next step is computed',
      boxes: [
        box('stored in Redis', profile.storeMs, 0, 0),
        box('read by its client', readMs, profile.storeMs, 0),
      ],
    },
  ];
  let y = HEADING_HEIGHT;
  const drawn = threads.flatMap(({ label, boxes: of }, i) => {
    const top = y + THREAD_GAP - 6;
    y += THREAD_GAP + ROW_HEIGHT * (i === 0 ? stepRows : 1);
    return [
      `<text y="${top - 4}" fill="#555">${label}</text>`,
      ...of.map((each) => drawBox(each, step.ms, top)),
    ];
  });
  const heading = `batch ${batch}: ${step.ms.toFixed(2)} ms per step, ${layers.toFixed(0)} layers`;
  return {
    content: [`<text y="24" font-size="14">${heading}</text>`, ...drawn].join('\n'),
    height: y + MARGIN,
  };
}

const box = (name: string, ms: number, atMs: number, row: number): Box => ({
  name,
  ms,
  atMs,
  row,
  colour: COLOURS[name] ?? OTHER_COLOUR,
});

function boxesOf(part: Part, atMs: number, row: number): Box[] {
  let partAtMs = atMs;
  const inside = part.parts.flatMap((each) => {
    const boxes = boxesOf(each, partAtMs, row + 1);
    partAtMs += each.ms;
    return boxes;
  });
  return [box(part.name, part.ms, atMs, row), ...inside];
}

/** What goes on after the step has ended is cut off at its end; the text on the box tells all. */
function drawBox({ name, ms, atMs, row, colour }: Box, stepMs: number, top: number): string {
  const scale = WIDTH / stepMs;
  const x = Math.min(WIDTH, Math.max(0, atMs * scale));
  const width = Math.min(WIDTH - x, Math.max(0, ms * scale));
  const y = top + row * ROW_HEIGHT;
  const share = `${((100 * ms) / stepMs).toFixed(1)}%`;
  const labels = [`${name} ${ms.toFixed(2)} ms, ${share}`, `${name} ${share}`, name];
  const label = labels.find((each) => each.length * CHARACTER_WIDTH + LABEL_MARGIN <= width);
  const text =
    label === undefined ? '' : `<text x="${(x + LABEL_MARGIN).toFixed(1)}" y="${y + 16}">${label}</text>`;
  return (
    `<g><title>${labels[0]}</title>` +
    `<rect x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${ROW_HEIGHT - 1}" fill="${colour}" stroke="white" stroke-width="0.5"/>${text}</g>`
  );
}
