import { readPlacement } from '../../../gpu-pool/host/placement-store.ts';
import { measureProfile } from '../../../infra/profile/run-profile.ts';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { modelsKey } from '../../../shared/protocol/keys.ts';
import type { ModelCard } from '../../../shared/protocol/member.ts';
import type { PerformanceProfile } from '../../../shared/protocol/scaling.ts';
import type { PoolSizes } from '../../../shared/scaling/solver.ts';
import { DICTIONARY_MODEL } from '../../support/test-host.ts';
import { startReplayPool } from './pool.ts';

/** The costs of a small layout; what instances more make of them, the model says. */
export async function profileOf(sizes: PoolSizes, mostExperts: number): Promise<PerformanceProfile> {
  await using parts = new AsyncDisposableStack();
  const pool = await startReplayPool(sizes, sizes, parts);
  const { redis, dispatcher } = pool;
  const [card, placement] = [
    await redis.hget(modelsKey, DICTIONARY_MODEL),
    await readPlacement(redis, DICTIONARY_MODEL),
  ];
  if (card === null || placement === null)
    throw new JanusError('The pool has started without a placement: see its output.');
  const { profile } = await measureProfile({
    redis,
    dispatcher,
    card: JSON.parse(card) as ModelCard,
    placement,
    // Most of a layer step is on the wire: what instances share of two processors does not count beside it.
    processors: null,
    mostExperts,
    log: console.error,
  });
  return profile;
}
