import { z } from 'zod';
import { EXCHANGE_MODES } from '../../gpu-pool/exchange/exchange-options.ts';
import { KERNEL_CHOICES } from '../../gpu-pool/host/host-options.ts';
import { SPARE_SLOTS } from '../../shared/scheduler/layout.ts';
import { SCHEDULER_NAMES } from '../../shared/scheduler/scheduling.ts';
import { MOST_INSTANCES } from '../cli/options/pool-options.ts';
import { WEIGHT_FORMS } from '../cli/options/weight-form.ts';
import * as fields from './fields.ts';
import { resourceNameOf } from './names.ts';

const MOST_MODELS = 64;
const MOST_GATEWAYS = 64;
const MOST_NOTICE_S = 10;
const MOST_SLOTS = 4_096;
const MOST_KV_SLOTS = 4_096;
const MOST_PREFIX_CACHE_MIB = 1_048_576;

/** Where the pods of one kind run, and what each of them gets. */
const pods = {
  resources: fields.resources.prefault({}),
  nodeSelector: z.record(fields.labelKey, fields.labelValue).default({}),
  tolerations: z.array(fields.toleration).max(fields.MOST_TOLERATIONS).default([]),
};

/** A pod holds one instance, so the bounds are those of instances. */
const pool = {
  ...pods,
  least: fields.whole(1, MOST_INSTANCES),
  most: fields.whole(1, MOST_INSTANCES),
};

const model = z
  .strictObject({
    /** Under which it is served. */
    name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/, 'cannot be the name of a served model'),
    /** Stands in the names of its Deployments. Default: the name, in lower case, with - for what they may not hold. */
    resource: fields.resourceName.optional(),
    /** Its folder in the pods. */
    folder: fields.absolutePath,
    /** PersistentVolumeClaim that is mounted at `folder`, for reading. Default: the image holds the folder. */
    claim: fields.objectName.optional(),
    dtype: z.enum(WEIGHT_FORMS).optional(),
    gate: z.enum(['attention', 'experts']).default('attention'),
    scheduler: z.enum(SCHEDULER_NAMES).default('aebs'),
    spareSlots: z.enum(SPARE_SLOTS).default('load'),
    kernels: z.enum(KERNEL_CHOICES).default('auto'),
    attention: z
      .strictObject({
        ...pool,
        kvSlots: fields.whole(1, MOST_KV_SLOTS).optional(),
        prefixCacheMib: fields.whole(0, MOST_PREFIX_CACHE_MIB).optional(),
        exchange: z.enum(EXCHANGE_MODES).default('auto'),
      })
      .superRefine(fields.refuseEmptyRange),
    experts: z
      .strictObject({
        ...pool,
        /** C. It has to be given, since the pool changes its size: `least` times it must be enough for all experts. */
        slots: fields.whole(1, MOST_SLOTS),
      })
      .superRefine(fields.refuseEmptyRange),
  })
  .transform(({ resource, ...rest }) => ({ ...rest, resource: resource ?? resourceNameOf(rest.name) }))
  .superRefine(({ resource }, context) => {
    if (fields.resourceName.safeParse(resource).success) return;
    const message = `must be given: ${JSON.stringify(resource)}, made of the name, cannot stand in a Deployment's name`;
    context.addIssue({ code: 'custom', path: ['resource'], message });
  });

const gateway = z
  .strictObject({
    ...pods,
    replicas: fields.whole(1, MOST_GATEWAYS).default(1),
    port: fields.whole(1_024, 65_535).default(8_000),
    service: z.enum(['ClusterIP', 'LoadBalancer', 'NodePort']).default('ClusterIP'),
    /** How long /ready says 503 before the port closes. */
    drainNoticeS: fields.whole(0, MOST_NOTICE_S).default(5),
    allowAnonymous: z.boolean().default(false),
    corsOrigins: z.array(fields.origin).max(fields.MOST_ORIGINS).default([]),
    /** PersistentVolumeClaim of files and batches' results. Default: they last as long as the pod. */
    filesClaim: fields.objectName.optional(),
  })
  .superRefine(({ replicas, filesClaim }, context) => {
    if (replicas === 1 || filesClaim !== undefined) return;
    const message = `must be given for ${replicas} replicas: gateways that share a Redis must share their files`;
    context.addIssue({ code: 'custom', path: ['filesClaim'], message });
  });

const scaler = z.strictObject({
  ...pods,
  /** `kubernetes`: it sets the sizes itself. `publish`: they stand in Redis for somebody else, who may be allowed more. */
  actuator: z.enum(['kubernetes', 'publish']).default('kubernetes'),
});

/** What is to run in a cluster. */
export const deploySchema = z.strictObject({
  namespace: fields.namespaceName,
  image: z.string().regex(/^\S{1,512}$/, 'must be the name of an image'),
  imagePullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']).default('IfNotPresent'),
  imagePullSecret: fields.objectName.optional(),
  /** Runs `janus` in the image. */
  command: z.array(z.string().min(1)).min(1).max(8).default(['node', 'infra/cli/janus.ts']),
  /** User of the image by whom everything runs; root is not allowed. */
  user: fields.whole(1, 2 ** 31 - 1).default(1_000),
  /** Secret that holds the URL of Redis; it is made by somebody else. */
  redis: z.strictObject({ secret: fields.objectName, key: fields.secretKey.default('url') }),
  models: z
    .array(model)
    .min(1, 'must name a model')
    .max(MOST_MODELS)
    .superRefine(fields.refuseRepeated('name'))
    .superRefine(fields.refuseRepeated('resource')),
  gateway: gateway.prefault({}),
  scaler: scaler.prefault({}),
});

/** As it is written down. */
export type DeployInput = z.input<typeof deploySchema>;
/** With everything filled in. */
export type DeployConfig = z.output<typeof deploySchema>;
export type ModelDeployment = DeployConfig['models'][number];
export type PodSettings = Pick<DeployConfig['gateway'], 'resources' | 'nodeSelector' | 'tolerations'>;

/** For a configuration in TypeScript: `export default defineDeployment({ … })`. */
export const defineDeployment = (input: DeployInput): DeployInput => input;
