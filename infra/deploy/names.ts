/** Pools of a model; each is a Deployment. */
export const POOLS = ['attention', 'experts'] as const;
export type PoolName = (typeof POOLS)[number];

/** Name of everything that all models share. */
export const GATEWAY = 'janus-gateway';
export const SCALER = 'janus-scaler';

/** What stands for a model in the names of its Deployments, unless its configuration says it. */
export const resourceNameOf = (model: string): string =>
  model
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');

export const deploymentName = (resource: string, pool: PoolName): string => `janus-${resource}-${pool}`;

/** Marks what is ours and no one else's to change. */
const MANAGED = { 'app.kubernetes.io/managed-by': 'janus' };

/**
 * Labels by which the Deployment of a pool finds its pods. A Deployment's scale shows them, which is all that who scales it may
 * read, and they can never be changed: so they tell whether it is ours.
 */
export const poolLabels = (resource: string, pool: PoolName): Record<string, string> => ({
  ...MANAGED,
  'janus.dev/model': resource,
  'janus.dev/pool': pool,
});

export const partLabels = (part: string): Record<string, string> => ({
  ...MANAGED,
  'app.kubernetes.io/name': part,
});
