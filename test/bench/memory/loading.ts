import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MANIFEST_FILE, parseManifest } from '../../../gpu-pool/packed/manifest.ts';
import { summarise } from '../peer/measure/decode-times.ts';
import { randomTokens } from '../peer/measure/prompts.ts';
import { Janus } from '../peer/measure/systems.ts';
import { FORM, type PackedBenchModel } from '../systems/bench-model.ts';

const PROMPT_TOKENS = 64;
const ANSWER_TOKENS = 32;
const PROMPT_SEED = 6;
const MIB = 2 ** 20;

/** What `janus up` takes with a packed model, as it comes, over all of its processes. */
export interface Loading {
  /** From the start of the process until it answers; the model's files are in the system's cache. */
  readonly loadMs: { readonly median: number; readonly least: number; readonly most: number };
  readonly packedMib: number;
  /** Most memory so far, by what had been done: `loaded`, or how many sequences had been run at once. */
  readonly peakMib: Readonly<Record<string, number>>;
  readonly peakOverPacked: Readonly<Record<string, number>>;
}

/** Bytes of a packed model's weights. */
function packedBytes(folder: string): number {
  const path = join(folder, MANIFEST_FILE);
  const { files } = parseManifest(JSON.parse(readFileSync(path, 'utf8')), path);
  return Object.values(files).reduce((sum, bytes) => sum + bytes, 0);
}

/**
 * @param loads that are timed
 * @param sequences numbers of sequences that the last one of them runs, ascending
 */
export async function measureLoading(
  { folder, config }: PackedBenchModel,
  loads: number,
  sequences: readonly number[],
): Promise<Loading> {
  const packedMib = packedBytes(folder) / MIB;
  const loadsMs: number[] = [];
  const peakMib: Record<string, number> = {};
  for (let load = 1; load <= loads; load++) {
    const janus = await Janus.start(folder, FORM, []);
    try {
      loadsMs.push(Math.round(janus.loadMs));
      if (load < loads) continue;
      peakMib.loaded = janus.peakMemoryMib;
      for (const count of sequences) {
        const prompts = randomTokens(config.vocabularySize, count, PROMPT_TOKENS, PROMPT_SEED);
        await janus.overHttp(prompts.map((prompt, seed) => ({ prompt, tokens: ANSWER_TOKENS, seed })));
        peakMib[count] = janus.peakMemoryMib;
      }
    } finally {
      await janus.stop();
    }
  }
  const over = Object.entries(peakMib).map(([when, mib]) => [when, Number((mib / packedMib).toFixed(3))]);
  return {
    loadMs: summarise(loadsMs),
    packedMib: Math.round(packedMib),
    peakMib,
    peakOverPacked: Object.fromEntries(over),
  };
}
