import { writeFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { JanusError } from '../../shared/errors/janus-error.ts';
import { markdownTable, readResults, replaceSection } from './results.ts';

/**
 * One benchmark: measures, and returns what it measured with its cases in `cases`, and perhaps a {@link Page} in `page`. Where `--json`
 * is to print something else than the cases and what is beside them, that is in `json`.
 */
export interface Benchmark {
  readonly run: (options: { quick: boolean }) => Promise<Record<string, unknown>>;
}

/** What a benchmark adds to its table: Markdown that follows it, and files that this refers to, by their names. */
interface Page {
  readonly markdown: string;
  readonly files: Readonly<Record<string, string>>;
}

const BENCHMARKS: Readonly<Record<string, () => Promise<Benchmark>>> = {
  ablation: () => import('./ablation/ablation.ts'),
  contention: () => import('./contention/contention.ts'),
  exchange: () => import('./exchange.ts'),
  gateway: () => import('./gateway/gateway.ts'),
  growth: () => import('./growth/growth.ts'),
  memory: () => import('./memory/memory.ts'),
  model: () => import('./model-fit/model-fit.ts'),
  overhead: () => import('./overhead.ts'),
  peer: () => import('./peer/peer.ts'),
  placement: () => import('./placement.ts'),
  prefix: () => import('./prefix.ts'),
  profile: () => import('./profile/profile.ts'),
  quality: () => import('./quality.ts'),
  regimes: () => import('./ablation/regimes.ts'),
  replay: () => import('./replay/replay.ts'),
  scheduler: () => import('./scheduler.ts'),
  split: () => import('./split/split.ts'),
};

const RESULTS = new URL('./RESULTS.md', import.meta.url);

/** The machine in one line. */
function machine(): string {
  const [first] = cpus();
  const gib = Math.round(totalmem() / 2 ** 30);
  return `${cpus().length} × ${first?.model.trim()}, ${gib} GiB, ${process.platform}-${process.arch}, Node ${process.version}`;
}

async function main(args: readonly string[]): Promise<void> {
  const quick = args.includes('--quick');
  const json = args.includes('--json');
  const [name] = args.filter((arg) => !arg.startsWith('--'));
  const load = name === undefined ? undefined : BENCHMARKS[name];
  if (name === undefined || load === undefined) {
    const known = Object.keys(BENCHMARKS).join(', ');
    throw new JanusError(
      `${name ?? 'No name'} is not a benchmark: npm run bench <${known}> [-- --quick] [-- --json]`,
    );
  }
  // Without a handler a signal would end this process before it can end those that it started.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
  const benchmark = await load();
  const {
    page,
    json: whole,
    ...measured
  } = (await benchmark.run({ quick })) as { page?: Page; json?: object };
  const date = new Date().toISOString().slice(0, 10);
  const head = { benchmark: name, date, machine: machine(), quick };
  if (json) return console.log(JSON.stringify({ ...head, ...(whole ?? measured) }));
  const { cases, ...rest } = measured as unknown as { cases: Record<string, unknown>[] };
  const table = markdownTable(cases);
  const notes = Object.entries(rest).map(([key, value]) => `- ${key}: ${JSON.stringify(value)}`);
  const more = page === undefined ? [] : [page.markdown];
  console.log([`${name} on ${head.machine}`, table, ...notes, ...more].join('\n'));
  // A quick run shows that the benchmark works; its figures are not worth keeping.
  if (quick) return;
  const command = `${date}, ${head.machine}, \`npm run bench ${name}\``;
  const body = [command, ...more, table, notes.join('\n')].join('\n\n');
  for (const [file, content] of Object.entries(page?.files ?? {}))
    await writeFile(new URL(file, RESULTS), content);
  await writeFile(RESULTS, replaceSection(await readResults(RESULTS), name, body.trim()));
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof JanusError ? error.message : error);
  process.exitCode = 1;
}
