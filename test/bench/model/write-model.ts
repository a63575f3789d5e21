import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, statfs, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { runMain } from '../../../infra/cli/run-main.ts';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { parseModelConfig } from '../../../shared/model/parse.ts';
import { checkpointBytes, writeWeights } from './checkpoint-writer.ts';
import { MODEL_FLAGS, modelFromFlags, parseFlags } from './flags.ts';
import {
  type BenchModelOptions,
  benchCache,
  checkOptions,
  configJson,
  generationConfigJson,
  modelFingerprint,
} from './options.ts';
import { tokenizerConfigJson, tokenizerJson } from './tokenizer-json.ts';

/** File in the model's folder that names the options which it was made with. */
const FINGERPRINT_FILE = 'bench-model.fingerprint';
/** Smaller models are written before anybody begins to wonder. */
const WORTH_TELLING_BYTES = 1e8;

export interface EnsureOptions {
  /** By default `bench-model-<fingerprint>` in the benchmarks' cache. */
  readonly folder?: string;
  /** Told how far writing has come; by default stderr. */
  readonly log?: (line: string) => void;
}

/**
 * Writes a synthetic checkpoint (Hugging Face's layout, bf16 shards), or finds the one that was written before. Another
 * process that does the same does no harm: the folder appears whole or not at all.
 *
 * @returns the model's folder
 * @throws JanusError naming a size that cannot be, a folder that holds something else, or how much space is missing
 */
export async function ensureBenchModel(
  options: BenchModelOptions,
  { folder, log = console.error }: EnsureOptions = {},
): Promise<string> {
  checkOptions(options);
  const fingerprint = modelFingerprint(options);
  const target = resolve(folder ?? join(benchCache(), `bench-model-${fingerprint}`));
  if (await isWritten(target, fingerprint)) return target;
  const config = parseModelConfig(configJson(options), generationConfigJson(options));
  await mkdir(dirname(target), { recursive: true });
  await requireSpace(dirname(target), checkpointBytes(config));
  const temporary = await mkdtemp(`${target}.tmp-`);
  try {
    await writeSmallFiles(temporary, options, fingerprint);
    await writeWeights(temporary, config, options.seed, reportTenths(target, log));
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    // Somebody else was faster.
    if (await isWritten(target, fingerprint)) return target;
    throw error;
  }
  return target;
}

async function isWritten(folder: string, fingerprint: string): Promise<boolean> {
  if (!existsSync(folder)) return false;
  const found = await readFile(join(folder, FINGERPRINT_FILE), 'utf8').catch(() => undefined);
  if (found === fingerprint) return true;
  throw new JanusError(
    `${folder} exists and holds ${found === undefined ? 'no model of a benchmark' : 'a model of other options'}; ` +
      'name another one with --folder, or remove it.',
  );
}

async function requireSpace(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize > bytes) return;
  throw new JanusError(
    `${folder} has ${gigabytes(bavail * bsize)} GB left and the model takes ${gigabytes(bytes)} GB; ` +
      'set JANUS_BENCH_CACHE to a folder with more space.',
  );
}

async function writeSmallFiles(folder: string, options: BenchModelOptions, fingerprint: string) {
  const files: Readonly<Record<string, unknown>> = {
    'config.json': configJson(options),
    'generation_config.json': generationConfigJson(options),
    'tokenizer.json': tokenizerJson(options.vocabularySize),
    'tokenizer_config.json': tokenizerConfigJson(options.contextLength),
  };
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(folder, name), JSON.stringify(content));
  }
  await writeFile(join(folder, FINGERPRINT_FILE), fingerprint);
}

const gigabytes = (bytes: number): string => (bytes / 1e9).toFixed(2);

/** Tells of each tenth, where there is something to wait for. */
function reportTenths(target: string, log: (line: string) => void) {
  let told = 0;
  return (written: number, total: number): void => {
    const tenth = Math.floor((10 * written) / total);
    if (tenth === told || total < WORTH_TELLING_BYTES) return;
    told = tenth;
    log(`${target}: ${gigabytes(written)} of ${gigabytes(total)} GB`);
  };
}

async function main(): Promise<void> {
  const values = parseFlags(process.argv.slice(2), [...MODEL_FLAGS, 'folder']);
  const { folder } = values;
  console.log(await ensureBenchModel(modelFromFlags(values), folder === undefined ? {} : { folder }));
}

if (import.meta.main) await runMain('bench:model', main);
