import { loadModelConfig } from '../../../gpu-pool/checkpoint/model-folder.ts';
import type { ModelConfig } from '../../../shared/model/config.ts';
import { BENCH_MODELS, type BenchModelName } from '../model/options.ts';
import { ensureBenchModel } from '../model/write-model.ts';
import { ensurePackedModel } from '../peer/measure/packed-model.ts';

/** Form of the weights in the benchmarks that compare Janus with itself. */
export const FORM = 'int4';

export interface PackedBenchModel {
  /** The checkpoint. */
  readonly source: string;
  /** What was packed from it. */
  readonly folder: string;
  readonly config: ModelConfig;
}

/** A model of the benchmarks, packed with all large matrices as int4; both are kept for the next run. */
export async function packedBenchModel(name: BenchModelName = 'default'): Promise<PackedBenchModel> {
  const source = await ensureBenchModel(BENCH_MODELS[name]);
  const folder = await ensurePackedModel(source, FORM, console.error);
  return { source, folder, config: loadModelConfig(folder) };
}
