import { packedWeightForm } from '../../../gpu-pool/packed/packed-formats.ts';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import type { WeightForm } from '../../../shared/model/config.ts';
import type { FoundModel } from './model-option.ts';

export const WEIGHT_FORMS: readonly WeightForm[] = ['f32', 'int8', 'int4'];
/** Of a checkpoint, unless it is asked for another one. */
export const DEFAULT_WEIGHT_FORM: WeightForm = 'f32';

/**
 * The form in which a model's weights are held: of a checkpoint what `--dtype` says, of a packed model its own.
 *
 * @param dtype what `--dtype` says; undefined where it is not given
 * @throws JanusError when `--dtype` contradicts the packed model
 */
export function chooseWeightForm(
  { folder, packed }: Pick<FoundModel, 'folder' | 'packed'>,
  dtype: WeightForm | undefined,
): WeightForm {
  if (packed === null) return dtype ?? DEFAULT_WEIGHT_FORM;
  const form = packedWeightForm(packed.dtype);
  if (dtype === undefined || dtype === form) return form;
  const stored = packed.dtype === form ? form : `${packed.dtype}, whose weights are ${form} in memory`;
  throw new JanusError(
    `--dtype is ${dtype}, but ${folder} holds a model that was packed as ${stored}: leave out --dtype, or give --model the ` +
      `folder of the checkpoint, or what \`janus pack --dtype ${dtype}\` makes of it.`,
  );
}
