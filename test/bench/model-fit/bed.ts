import { availableParallelism } from 'node:os';
import { createDispatcher } from '../../../functions/dispatcher/dispatcher.ts';
import { createDoorbellStreams } from '../../../functions/dispatcher/doorbell-streams.ts';
import { connectRedis } from '../../../functions/redis-client.ts';
import { readPlacement } from '../../../gpu-pool/host/placement-store.ts';
import type { RunningPool } from '../../../infra/profile/measure-load.ts';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { modelsKey } from '../../../shared/protocol/keys.ts';
import type { ModelCard } from '../../../shared/protocol/member.ts';
import type { PoolSizes } from '../../../shared/scaling/solver.ts';
import { DICTIONARY_MODEL } from '../../support/test-host.ts';
import { JanusProcess } from '../peer/janus/janus-process.ts';
import { HostProcesses } from '../systems/host-processes.ts';
import type { Kind } from './layouts.ts';

/** Sequences that an attention instance holds, and replica slots of an expert instance: all experts. */
export const SEQUENCES_PER_ATTENTION = 16;
const CAPACITY = 32;

/** A pool that runs, ready to be measured; closed with `parts`. */
export async function startBed(
  kind: Kind,
  sizes: PoolSizes,
  parts: AsyncDisposableStack,
): Promise<RunningPool> {
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
  };
}

type Connected = Pick<RunningPool, 'redis' | 'dispatcher'>;

async function startApart(sizes: PoolSizes, parts: AsyncDisposableStack): Promise<Connected> {
  const flagsOf = (role: 'attention' | 'experts', expertInstances: number): string[] =>
    role === 'experts'
      ? ['--experts', '1', '--slots', String(CAPACITY)]
      : [
          ...['--attention', '1', '--expert-instances', String(expertInstances)],
          ...['--kv-slots', String(SEQUENCES_PER_ATTENTION)],
        ];
  return parts.use(await HostProcesses.start({ name: 'model-fit', sizes, most: sizes, flagsOf }));
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
