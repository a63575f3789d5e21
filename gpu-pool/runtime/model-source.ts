import type { WeightForm } from '../../shared/model/config.ts';

/** Where a model's files are and in which form its weights are to be held; plain data, passed to worker threads. */
export interface ModelSource {
  /** Name under which the model is served. */
  readonly name: string;
  /** Folder of a Hugging Face checkpoint, or of a packed model. */
  readonly folder: string;
  /** Form of a checkpoint's weights in memory; a packed model has its own. */
  readonly weightForm: WeightForm;
}
