import { setTimeout as sleep } from 'node:timers/promises';
import { staticPlacement } from '../../shared/placement/placement.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import type { RoundSource } from '../attention/worker-protocol.ts';
import { allocateRound, dropFromRound } from '../exchange/host-round.ts';
import { RoundRows } from '../exchange/round-exchange.ts';
import type { Host } from './host.ts';
import { OVERDUE_AFTER_MS } from './host-options.ts';
import { planHostKernels } from './kernel-plan.ts';
import { readMembers } from './membership.ts';
import { missingHosts, offeredCapacity, offeredInstances, placementReady } from './placement-formation.ts';
import { publishPlacement, readPlacement } from './placement-store.ts';
import { startAttentionPool } from './start-attention-pool.ts';

/** Pause between two looks at the members of the pool. */
const POLL_MS = 200;
/** A reason to wait is told again after this many looks. */
const POLLS_PER_LOG = 50;

/**
 * Starts the attention instances of a host whose experts live elsewhere: waits for the pool, makes the placement if none
 * is in force that all living hosts can serve, waits until its experts are loaded, then takes jobs. When an expert host of
 * the placement is lost, the instances stop and it starts over.
 */
export async function startAttention(host: Host): Promise<void> {
  let closed = false;
  let running = await startUnderPlacement(host, () => closed);
  const watch = (async () => {
    while (!closed && running !== undefined) {
      await sleep(POLL_MS);
      const reason = await reasonToStartOver(host, running);
      if (reason === null || closed) continue;
      host.log(reason);
      await host.attention?.stop();
      host.attention = undefined;
      running = await startUnderPlacement(host, () => closed);
    }
  })().catch((error) => host.log(`attention pool: ${error.message}`));
  host.onClose(async () => {
    closed = true;
    await watch;
  });
}

/** Memory by which this host's instances step together; null where there is one, or each is to send for itself. */
function allocateHostRound({ options, config }: Host): Omit<RoundSource, 'index'> | null {
  if (options.attentionInstances < 2 || options.exchange.mode === 'one-phase') return null;
  const { hiddenSize, expertsPerToken } = config;
  const shape = { maxRows: options.limits.tokenBudget, hiddenSize, expertsPerToken };
  const rows = Array.from({ length: options.attentionInstances }, () => new RoundRows(shape).buffer);
  return { memory: allocateRound(), rows };
}

/** Why the instances cannot go on under `placement`; null while they can. */
async function reasonToStartOver(host: Host, placement: Placement): Promise<string | null> {
  const { redis, options } = host;
  try {
    const missing = missingHosts(placement, await readMembers(redis, options.model.name));
    const held = await readPlacement(redis, options.model.name);
    if (missing.length > 0) {
      return `expert host ${missing.join(', ')} is gone; placement version ${placement.version} cannot be served`;
    }
    if (held !== null && held.version !== placement.version) {
      return `placement version ${held.version} is in force; starting over under it`;
    }
  } catch {
    // Redis is away: nothing is known about anybody, so nobody is given up.
  }
  return null;
}

async function startUnderPlacement(host: Host, closed: () => boolean): Promise<Placement | undefined> {
  const placement = await formPlacement(host, closed);
  if (placement === undefined) return undefined;
  const { options, config } = host;
  const members = await readMembers(host.redis, options.model.name);
  const round = allocateHostRound(host);
  const addresses = Object.fromEntries(members.map((member) => [member.host, member.address]));
  await startAttentionPool(
    host,
    (index) => ({
      kind: 'remote',
      placement,
      redisUrl: options.redisUrl,
      mode: options.exchange.mode,
      node: options.exchange.node,
      addresses,
      round: round && { ...round, index },
      overdueAfterMs: OVERDUE_AFTER_MS,
    }),
    {
      ...(round && { onLost: (index: number) => dropFromRound(round.memory, index) }),
      kernels: planHostKernels(host, {
        expertRows: options.limits.tokenBudget,
        attentionInstances: options.attentionInstances,
      }),
    },
  );
  const instances = placement.instances.length;
  host.log(`model ${options.model.name} is ready: ${config.layers} layers, ${instances} expert instances`);
  return placement;
}

/** The placement in force, once its experts are all loaded; `undefined` when the host closes before. */
async function formPlacement(host: Host, closed: () => boolean): Promise<Placement | undefined> {
  const { redis, options, log } = host;
  const model = options.model.name;
  let told = '';
  for (let poll = 0; !closed(); poll++) {
    const members = await readMembers(redis, model);
    const held = await readPlacement(redis, model);
    const waitingFor = await (async () => {
      if (held !== null && missingHosts(held, members).length === 0) {
        return placementReady(held, members)
          ? null
          : `the experts of placement version ${held.version} to load`;
      }
      const instances = offeredInstances(members);
      if (instances.length < options.poolExpertInstances) {
        return `${options.poolExpertInstances} expert instances, ${instances.length} are there`;
      }
      await publishPlacement(
        redis,
        makePlacement(host, instances, members, held?.version ?? 0),
        held?.version ?? 0,
      );
      return 'the experts of the new placement to load';
    })();
    if (waitingFor === null) return held!;
    if (waitingFor !== told || poll % POLLS_PER_LOG === 0) log(`waiting for ${waitingFor}`);
    told = waitingFor;
    await sleep(POLL_MS);
  }
  return undefined;
}

function makePlacement(
  host: Host,
  instances: Placement['instances'],
  members: Awaited<ReturnType<typeof readMembers>>,
  from: number,
): Placement {
  const { config, options } = host;
  return staticPlacement({
    version: from + 1,
    model: options.model.name,
    layers: config.layers,
    experts: config.experts,
    instances,
    capacity: offeredCapacity(members) ?? Math.ceil(config.experts / instances.length),
    scheduling: { scheduler: options.scheduler },
  });
}
