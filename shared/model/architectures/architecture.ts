import type { ModelConfig } from '../config.ts';
import type { ModelTensors } from '../tensor-specs.ts';

/** What one `model_type` of Hugging Face means to us. */
export interface Architecture {
  /**
   * @param configJson content of `config.json`
   * @param generationConfigJson content of `generation_config.json`, `undefined` where there is none
   * @throws JanusError that names the field which is wrong or asks for something that is not supported
   */
  parseConfig(configJson: unknown, generationConfigJson: unknown): ModelConfig;
  /** Names and shapes of the checkpoint's tensors. */
  tensors(config: ModelConfig): ModelTensors;
}
