import { availableParallelism } from 'node:os';
import { basename, relative, resolve } from 'node:path';
import { Argument, Command, Option } from 'commander';
import { type PackResult, packModel } from '../../../gpu-pool/packed/pack/pack-model.ts';
import {
  BLOCK_SIZES,
  type BlockSize,
  DEFAULT_BLOCK_SIZE,
  isQuantized,
  PACKED_DTYPES,
  type PackedDtype,
} from '../../../gpu-pool/packed/packed-formats.ts';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { formatBytes } from '../options/byte-count.ts';
import { findModel } from '../options/model-option.ts';
import { notEmpty, oneOf } from '../options/values.ts';
import { formatCount, ProgressView } from '../pack/progress-view.ts';

const MODEL_ARGUMENT = '<model>';
/** Each thread takes some 100 MB; beyond so many the disk is what they wait for. */
const MOST_THREADS = 16;
const STOP_SIGNALS = ['SIGINT', 'SIGTERM'] as const;

interface PackFlags {
  readonly dtype?: PackedDtype;
  readonly blockSize?: BlockSize;
  readonly out?: string;
  readonly uniform?: true;
  readonly force?: true;
}

export function packCommand(): Command {
  const sizes = BLOCK_SIZES.map(String);
  const blockSize = oneOf('--block-size', sizes);
  return new Command('pack')
    .description('Quantise a checkpoint once, into a folder that hosts load much faster')
    .addArgument(
      new Argument(MODEL_ARGUMENT, 'Hugging Face checkpoint folder, or a model in gpu-pool/models').argParser(
        notEmpty(MODEL_ARGUMENT, 'dictionary-moe'),
      ),
    )
    .addOption(
      new Option('--dtype <form>', `form of the large matrices: ${PACKED_DTYPES.join(', ')}`).argParser(
        oneOf('--dtype', PACKED_DTYPES),
      ),
    )
    .option(
      '--block-size <n>',
      `int4 and int8, weights that share a scale: ${sizes.join(', ')} (default: ${DEFAULT_BLOCK_SIZE})`,
      (text) => Number(blockSize(text)),
    )
    .option(
      '--out <folder>',
      'folder to write (default: <model>-<dtype> in the working folder)',
      notEmpty('--out', 'my-model-int4'),
    )
    .option(
      '--uniform',
      'int4 and int8: all large matrices in the same form, int8 with one scale per row, which is faster (default: those that steer most in a finer one)',
    )
    .option('--force', 'replace the packed model that is there, up to date or not')
    .action(pack);
}

async function pack(model: string, flags: PackFlags): Promise<void> {
  const { dtype, blockSize, out, uniform = false, force = false } = flags;
  if (dtype === undefined)
    throw new JanusError(`--dtype is missing; give one of ${PACKED_DTYPES.join(', ')}.`);
  if (blockSize !== undefined && !isQuantized(dtype)) {
    throw new JanusError(`--block-size is for int4 and int8; leave it out with --dtype ${dtype}.`);
  }
  if (uniform && !isQuantized(dtype)) {
    throw new JanusError(`--uniform is for int4 and int8; leave it out with --dtype ${dtype}.`);
  }
  if (blockSize !== undefined && uniform && dtype === 'int8') {
    throw new JanusError('With --uniform, int8 has one scale per row; leave --block-size out.');
  }
  const { folder } = findModel(model, MODEL_ARGUMENT);
  const name = basename(folder);
  const target = resolve(out ?? `${name}-${dtype}`);
  const size = isQuantized(dtype) ? (blockSize ?? DEFAULT_BLOCK_SIZE) : null;
  const settings = { dtype, blockSize: size, uniform };
  const progress = new ProgressView(process.stderr, () => performance.now());
  const startedAtMs = performance.now();
  const result = await stoppable((signal) =>
    packModel({
      folder,
      target,
      settings,
      force,
      threads: Math.min(MOST_THREADS, availableParallelism()),
      signal,
      nowMs: Date.now(),
      events: {
        onStart: (weights, bytes) =>
          console.log(
            `packing ${formatCount(weights)} weights of ${name} as ${dtype}, ${formatBytes(bytes)}`,
          ),
        onProgress: (done, total) => progress.show(done, total),
      },
    }),
  ).finally(() => progress.clear());
  console.log(summary(result, target, performance.now() - startedAtMs));
}

/** Runs something that a stop signal aborts. @throws JanusError when one did */
async function stoppable<T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const onSignal = (signal: NodeJS.Signals): void =>
    controller.abort(
      new JanusError(`${signal}: stopped before the packed model was whole; nothing is left of it`),
    );
  for (const signal of STOP_SIGNALS) process.on(signal, onSignal);
  try {
    return await run(controller.signal);
  } finally {
    for (const signal of STOP_SIGNALS) process.off(signal, onSignal);
  }
}

function summary(result: PackResult, target: string, elapsedMs: number): string {
  const shown = relative(process.cwd(), target) || '.';
  if (result.kind === 'up to date') return `${shown} is up to date (--force packs it again)`;
  const files = Object.keys(result.manifest.files).length;
  return `packed ${shown} in ${(elapsedMs / 1_000).toFixed(1)} s: ${result.manifest.groups.length} groups in ${files} files`;
}
