import { availableParallelism } from 'node:os';
import { createDispatcher } from '../../../functions/dispatcher/dispatcher.ts';
import { createDoorbellStreams } from '../../../functions/dispatcher/doorbell-streams.ts';
import { connectRedis } from '../../../functions/redis-client.ts';
import { readPlacement } from '../../../gpu-pool/host/placement-store.ts';
import type { ProfileOptions } from '../../../infra/profile/run-profile.ts';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { modelsKey } from '../../../shared/protocol/keys.ts';
import type { ModelCard } from '../../../shared/protocol/member.ts';
import type { PoolSizes } from '../../../shared/scaling/solver.ts';
import { DICTIONARY_MODEL } from '../../support/test-host.ts';
import { JanusProcess } from '../peer/janus/janus-process.ts';
import { CAPACITY, HostProcesses, SEQUENCES_PER_ATTENTION } from './host-processes.ts';
import type { Kind } from './layouts.ts';

/** Largest n_e that a case may have. */
const MOST_EXPERTS = 8;

/** A pool that runs, ready to be measured; closed with `parts`. */
export async function startBed(
  kind: Kind,
  sizes: PoolSizes,
  parts: AsyncDisposableStack,
): Promise<ProfileOptions> {
  const { redis, dispatcher } =
    kind === 'processes f32' ? await startApart(sizes, parts) : await startTogether(kind, sizes, parts);
  const [card, placement] = [
    await redis.hget(modelsKey, DICTIONARY_MODEL),
    await readPlacement(redis, DICTIONARY_MODEL),
  ];
  if (card === null || placement === null)
    throw new JanusError(`A pool of ${kind} has started without a placement.`);
  return {
    redis,
    dispatcher,
    card: JSON.parse(card) as ModelCard,
    placement,
    processors: availableParallelism(),
    mostExperts: MOST_EXPERTS,
    log: console.error,
  };
}

type Connected = Pick<ProfileOptions, 'redis' | 'dispatcher'>;

async function startApart(sizes: PoolSizes, parts: AsyncDisposableStack): Promise<Connected> {
  return parts.use(await HostProcesses.start(sizes));
}

/** Every expert instance has slots for all experts, as those in processes of their own. */
async function startTogether(
  kind: Kind,
  { attention, experts }: PoolSizes,
  parts: AsyncDisposableStack,
): Promise<Connected> {
  const janus = await JanusProcess.start([
    ...['--attention', String(attention), '--experts', String(experts), '--slots', String(CAPACITY)],
    ...['--dtype', kind === 'one host int4' ? 'int4' : 'f32', '--kv-slots', String(SEQUENCES_PER_ATTENTION)],
  ]);
  parts.defer(() => janus.stop());
  const redis = await connectRedis(janus.redisUrl, () => {});
  parts.defer(() => redis.disconnect());
  const dispatcher = createDispatcher(redis, { streams: await createDoorbellStreams(redis, 'model-fit') });
  parts.defer(() => dispatcher.close());
  return { redis, dispatcher };
}
