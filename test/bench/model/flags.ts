import { parseArgs } from 'node:util';
import { wholeNumber } from '../../../infra/cli/options/values.ts';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { BENCH_MODELS, type BenchModelName, type BenchModelOptions } from './options.ts';

/** Texts of the flags that were given, by name. */
export type FlagValues = Readonly<Record<string, string | undefined>>;

/**
 * Reads `--name value` and, for switches, `--name`, whose value is then `true`.
 *
 * @throws JanusError naming a flag that does not exist or lacks its value
 */
export function parseFlags(
  args: readonly string[],
  names: readonly string[],
  switches: readonly string[] = [],
): FlagValues {
  const options = Object.fromEntries([
    ...names.map((name) => [name, { type: 'string' } as const]),
    ...switches.map((name) => [name, { type: 'boolean' } as const]),
  ]);
  try {
    const { values } = parseArgs({ args: [...args], options });
    return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)]));
  } catch (cause) {
    const known = [...names, ...switches].map((name) => `--${name}`).join(', ');
    throw new JanusError(`${(cause as Error).message} Flags: ${known}.`, { cause });
  }
}

const LARGEST_SIZE = 2 ** 24;

const SIZE_FLAGS = {
  layers: 'layers',
  experts: 'experts',
  'experts-per-token': 'expertsPerToken',
  'expert-size': 'expertSize',
  hidden: 'hiddenSize',
  heads: 'attentionHeads',
  'kv-heads': 'keyValueHeads',
  'head-size': 'headSize',
  vocabulary: 'vocabularySize',
  context: 'contextLength',
  seed: 'seed',
} as const satisfies Record<string, keyof BenchModelOptions>;

/** Flags that choose a model. */
export const MODEL_FLAGS = ['preset', ...Object.keys(SIZE_FLAGS)];

/**
 * The model of `--preset`, with the single sizes that other flags give.
 *
 * @throws JanusError when there is no such preset, or a size is no whole number
 */
export function modelFromFlags(values: FlagValues): BenchModelOptions {
  const { preset = 'default' } = values;
  if (!Object.hasOwn(BENCH_MODELS, preset)) {
    throw new JanusError(`--preset is ${preset}; there are ${Object.keys(BENCH_MODELS).join(', ')}.`);
  }
  const given = Object.entries(SIZE_FLAGS).flatMap(([flag, option]) => {
    const text = values[flag];
    return text === undefined ? [] : [[option, wholeNumber(`--${flag}`, 0, LARGEST_SIZE)(text)]];
  });
  return { ...BENCH_MODELS[preset as BenchModelName], ...Object.fromEntries(given) };
}
