import { oneOf, wholeNumber } from '../../../infra/cli/options/values.ts';
import { runMain } from '../../../infra/cli/run-main.ts';
import type { WeightForm } from '../../../shared/model/config.ts';
import { MODEL_FLAGS, modelFromFlags, parseFlags } from '../model/flags.ts';
import { markdownTable } from '../results.ts';
import { FEWEST_STEADY_TOKENS } from './measure/decode-times.ts';
import { DEFAULT_OPTIONS, GGUF_TYPES, type PeerBenchOptions, QUICK_OPTIONS } from './measure/options.ts';
import { tableRow } from './measure/result.ts';
import { runPeerBench } from './measure/run.ts';

const LARGEST_COUNT = 65_536;
/** The peer starts over after all but the last token of a prompt. */
const LEAST_CONTEXT = 2;
const WEIGHT_FORMS = Object.keys(GGUF_TYPES) as WeightForm[];

/** The whole comparison, or a few of its cells, as `bench.ts` runs it. */
export async function run({ quick }: { quick: boolean }): Promise<Record<string, unknown>> {
  const { cells, ...rest } = await runPeerBench(quick ? QUICK_OPTIONS : DEFAULT_OPTIONS, console.error);
  return { cases: cells.map(tableRow), ...rest, json: { cells, ...rest } };
}

const OWN_FLAGS = [
  'dtypes',
  'prefill',
  'contexts',
  'sequences',
  'tokens',
  'repetitions',
  'agreement',
  'threads',
  'up',
] as const;
type OwnFlag = (typeof OWN_FLAGS)[number];

/**
 * Options from the flags; what none says is as in the whole comparison, or with `--quick` as in the quick one.
 *
 * @throws JanusError naming the flag that is wrong
 */
export function optionsFromFlags(args: readonly string[]): PeerBenchOptions & { readonly json: boolean } {
  const values = parseFlags(args, [...MODEL_FLAGS, ...OWN_FLAGS], ['quick', 'json']);
  const base = values.quick ? QUICK_OPTIONS : DEFAULT_OPTIONS;
  const list = (flag: OwnFlag): readonly string[] | undefined => values[flag]?.split(',');
  const counts = (flag: OwnFlag, least: number) =>
    list(flag)?.map(wholeNumber(`--${flag}`, least, LARGEST_COUNT));
  const count = (flag: OwnFlag, least: number) =>
    values[flag] === undefined ? undefined : wholeNumber(`--${flag}`, least, LARGEST_COUNT)(values[flag]);
  const sequences = counts('sequences', 1);
  const [{ sequences: usualSequences }] = base.decode as [PeerBenchOptions['decode'][number]];
  const contexts = counts('contexts', LEAST_CONTEXT)?.map((context) => ({
    context,
    sequences: usualSequences,
  }));
  return {
    model: modelFromFlags(values),
    dtypes: list('dtypes')?.map(oneOf('--dtypes', WEIGHT_FORMS)) ?? base.dtypes,
    prefillTokens: count('prefill', 0) ?? base.prefillTokens,
    decode: (contexts ?? base.decode).map((cells) => ({ ...cells, ...(sequences && { sequences }) })),
    decodeTokens: count('tokens', FEWEST_STEADY_TOKENS) ?? base.decodeTokens,
    repetitions: count('repetitions', 1) ?? base.repetitions,
    agreementPrompts: count('agreement', 0) ?? base.agreementPrompts,
    threads: count('threads', 1) ?? base.threads,
    janusFlags: values.up?.split(' ').filter((flag) => flag !== '') ?? base.janusFlags,
    json: values.json !== undefined,
  };
}

async function main(): Promise<void> {
  const { json, ...options } = optionsFromFlags(process.argv.slice(2));
  // Without a handler a signal would end this process before it can end those that it started.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
  const result = await runPeerBench(options, console.error);
  if (json) return console.log(JSON.stringify(result));
  const { cells, ...rest } = result;
  console.log(markdownTable(cells.map(tableRow)));
  for (const [key, value] of Object.entries(rest)) console.log(`- ${key}: ${JSON.stringify(value)}`);
}

if (import.meta.main) await runMain('bench:peer', main);
