import type { ModelConfig } from '../config.ts';
import type { Architecture } from './architecture.ts';
import { qwen3Moe } from './qwen3-moe.ts';

/** All supported architectures by their `model_type`. */
export const architectures: Readonly<Record<ModelConfig['architecture'], Architecture>> = {
  qwen3_moe: qwen3Moe,
};
