import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import {
  abandonPlacement,
  flipPlacement,
  readPlacement,
  readWanted,
  takeVersion,
  wantPlacement,
} from '../../../gpu-pool/host/placement-store.ts';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { WANTED_LIMIT_MS } from '../../../shared/replacement/transition.ts';
import type { Placement } from '../../../shared/scheduler/layout.ts';
import type { PlacementPlan } from './plan-placement.ts';

const POLL_MS = 100;

/**
 * Puts a planned placement in force while its hosts serve: publishes it as wanted, and waits until all of them have loaded it.
 *
 * @param limitMs bound on that wait, after which it is given up
 * @returns the placement as it is in force
 * @throws JanusError when another placement was put in force or is under way since the plan was made, or when it is given up
 */
export async function putInForce(
  redis: Redis,
  { placement: planned, from }: PlacementPlan,
  limitMs: number = WANTED_LIMIT_MS,
): Promise<Placement> {
  const { model } = planned;
  const placement = { ...planned, version: await takeVersion(redis, model) };
  const { version } = placement;
  if (!(await wantPlacement(redis, placement, from))) throw await reasonAgainst(redis, model, from);
  const deadlineMs = performance.now() + limitMs;
  while (performance.now() < deadlineMs) {
    if (await flipPlacement(redis, model, version)) return placement;
    if ((await readWanted(redis, model))?.placement.version !== version) {
      throw new JanusError(
        `Placement version ${version} was given up before its hosts had loaded it: one of them died, or another placement came ` +
          'in force. `janus status` shows which hosts live; plan again from there.',
      );
    }
    await sleep(POLL_MS);
  }
  await abandonPlacement(redis, model, version);
  throw new JanusError(
    `Placement version ${version} was not loaded by all of its hosts within ${limitMs / 1_000} s, and is given up. Their logs say ` +
      'why; --max-move-bytes makes the change smaller.',
  );
}

async function reasonAgainst(redis: Redis, model: string, from: number): Promise<JanusError> {
  const [inForce, wanted] = await Promise.all([readPlacement(redis, model), readWanted(redis, model)]);
  if (wanted !== null && inForce?.version === from) {
    return new JanusError(
      `Placement version ${wanted.placement.version} is on its way already. Wait until it is in force, then plan again.`,
    );
  }
  return new JanusError(
    `Somebody else put placement version ${inForce?.version} in force since this plan was made from version ${from}. ` +
      'Nothing was changed; run the command again to plan from there.',
  );
}
