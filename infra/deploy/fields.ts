import { z } from 'zod';

export const MOST_TOLERATIONS = 16;
export const MOST_ORIGINS = 64;
/** With what stands before and behind it, a label's value may have 63 characters. */
const LONGEST_RESOURCE_NAME = 40;
const MOST_GPUS = 64;

const DNS_LABEL = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;

const dnsLabel = (longest: number) =>
  z
    .string()
    .max(longest, `must have at most ${longest} characters`)
    .regex(DNS_LABEL, 'must be lower-case letters, digits and - between them');

export const namespaceName = dnsLabel(63);
export const resourceName = dnsLabel(LONGEST_RESOURCE_NAME);
/** Of a Secret or a claim. */
export const objectName = z
  .string()
  .max(253, 'must have at most 253 characters')
  .regex(
    /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/,
    'must be lower-case letters, digits, and - and . between them',
  );
export const secretKey = z.string().regex(/^[-._a-zA-Z0-9]{1,253}$/, 'must be letters, digits and . _ -');
export const absolutePath = z
  .string()
  .regex(/^\/[^\0:$]{1,1023}$/, 'must be an absolute path without : and $')
  .refine((path) => !path.split('/').includes('..'), 'must not hold ..');

const LABEL_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
export const labelKey = z.string().refine((key) => {
  const [name, prefix, ...more] = key.split('/').reverse();
  const hasPrefix = prefix === undefined || objectName.safeParse(prefix).success;
  return LABEL_NAME.test(name!) && hasPrefix && more.length === 0;
}, "must be a label's name, for example cloud.example/gpu");
export const labelValue = z
  .string()
  .refine((value) => value === '' || LABEL_NAME.test(value), "must be a label's value");

/** As browsers send it. */
export const origin = z
  .string()
  .refine((text) => URL.parse(text)?.origin === text, 'must be an origin, for example https://chat.example');

/** A whole number within bounds, which its error names. */
export const whole = (least: number, most: number) =>
  z.int(`must be a whole number from ${least} to ${most}`).min(least).max(most);

const quantity = z
  .string()
  .regex(
    /^\d{1,9}(?:\.\d{1,3})?(?:m|k|M|G|T|Ki|Mi|Gi|Ti)?$/,
    'must be a quantity, for example "4", "500m" or "16Gi"',
  );

/** What a container gets: as much as it asks for of memory and GPUs, at least so much of the processors. */
export const resources = z.strictObject({
  cpu: quantity.optional(),
  memory: quantity.optional(),
  gpu: z.strictObject({ name: labelKey.default('nvidia.com/gpu'), count: whole(1, MOST_GPUS) }).optional(),
});

/** Of a taint; without a value, of all taints with that key. */
export const toleration = z.strictObject({
  key: labelKey,
  value: labelValue.optional(),
  effect: z.enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute']).optional(),
});

/** @param field whose values must differ between the elements of a list */
export const refuseRepeated =
  <Field extends string>(field: Field) =>
  (elements: readonly Readonly<Record<Field, string>>[], context: z.RefinementCtx): void => {
    const seen = new Set<string>();
    for (const [index, { [field]: value }] of elements.entries()) {
      if (seen.has(value)) {
        const message = `is ${JSON.stringify(value)} as that of another one: they must differ`;
        context.addIssue({ code: 'custom', path: [index, field], message });
      }
      seen.add(value);
    }
  };

export function refuseEmptyRange(
  { least, most }: { readonly least: number; readonly most: number },
  context: z.RefinementCtx,
): void {
  if (most >= least) return;
  context.addIssue({ code: 'custom', path: ['most'], message: `must not be below least, which is ${least}` });
}
