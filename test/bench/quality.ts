import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packModel } from '../../gpu-pool/packed/pack/pack-model.ts';
import { BLOCK_SIZES, type BlockSize, DEFAULT_BLOCK_SIZE } from '../../gpu-pool/packed/packed-formats.ts';
import { GOLDEN_CASES } from '../support/golden.ts';
import { type Score, Scorer } from '../support/scorer.ts';
import { DICTIONARY_FOLDER } from '../support/test-host.ts';

/** What rounding costs: perplexity of the reference's answers, and how often the best token is the one of f32. */
const QUICK_CASES = 40;
const DTYPES = ['int8', 'int4'] as const;
const PROVIDERS = ['wasm', 'onnx'] as const;

interface Variant {
  readonly dtype: (typeof DTYPES)[number];
  readonly blockSize: BlockSize;
  /** True: all large matrices alike, as GGUF files have them; false: sensitive ones in a finer form. */
  readonly uniform: boolean;
}

async function scoreAll(scorer: Scorer, cases: number): Promise<Score[]> {
  const scores: Score[] = [];
  for (const { prompt_ids, generated_ids } of GOLDEN_CASES.slice(0, cases)) {
    scores.push(await scorer.score(prompt_ids, generated_ids));
  }
  return scores;
}

/** e to the mean negative log probability of the answers' tokens. */
function perplexity(scores: readonly Score[]): number {
  const logProbabilities = scores.flatMap((score) => [...score.logProbabilities]);
  return Math.exp(-logProbabilities.reduce((sum, value) => sum + value, 0) / logProbabilities.length);
}

function agreement(scores: readonly Score[], reference: readonly Score[]): number {
  const same = scores.flatMap((score, i) => score.best.map((id, at) => id === reference[i]!.best[at]));
  return same.filter(Boolean).length / same.length;
}

async function pack(folder: string, { dtype, blockSize, uniform }: Variant): Promise<void> {
  await packModel({
    folder: DICTIONARY_FOLDER,
    target: folder,
    settings: { dtype, blockSize, uniform },
    force: true,
    threads: 1,
    signal: new AbortController().signal,
    nowMs: Date.now(),
    events: { onStart: () => {}, onProgress: () => {} },
  });
}

export async function run({ quick }: { quick: boolean }): Promise<Record<string, unknown>> {
  const cases = quick ? QUICK_CASES : GOLDEN_CASES.length;
  const folder = await mkdtemp(join(tmpdir(), 'janus-quality-'));
  try {
    const reference = await scoreAll(Scorer.open(DICTIONARY_FOLDER, 'f32', 'onnx'), cases);
    const rows: Record<string, unknown>[] = [
      {
        dtype: 'f32',
        blockSize: '',
        uniform: '',
        provider: 'onnx',
        perplexity: perplexity(reference),
        agreement: 1,
      },
    ];
    for (const dtype of DTYPES) {
      for (const blockSize of BLOCK_SIZES) {
        for (const uniform of [false, true]) {
          // It has a scale per row, whatever the size of the blocks.
          if (uniform && dtype === 'int8' && blockSize !== DEFAULT_BLOCK_SIZE) continue;
          const target = join(folder, `${dtype}-${blockSize}-${uniform}`);
          await pack(target, { dtype, blockSize, uniform });
          for (const provider of PROVIDERS) {
            const scores = await scoreAll(Scorer.open(target, dtype, provider), cases);
            const figures = { perplexity: perplexity(scores), agreement: agreement(scores, reference) };
            rows.push({ dtype, blockSize, uniform, provider, ...figures });
          }
        }
      }
    }
    return { cases: rows, prompts: cases };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
