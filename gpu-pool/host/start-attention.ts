import { setTimeout as sleep } from 'node:timers/promises';
import { JanusError } from '../../shared/errors/janus-error.ts';
import type { HostRecord } from '../../shared/protocol/member.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import type { Interrupted } from '../attention/attention-instance.ts';
import type { ExpertSource, RoundSource } from '../attention/worker-protocol.ts';
import { allocateRound, dropFromRound, readmitToRound } from '../exchange/host-round.ts';
import { RoundRows } from '../exchange/round-exchange.ts';
import type { Host } from './host.ts';
import { OVERDUE_AFTER_MS } from './host-options.ts';
import { planHostKernels } from './kernel-plan.ts';
import { readMembers } from './membership.ts';
import { PlacementBell } from './placement-bell.ts';
import { PlacementFollower } from './placement-follower.ts';
import { formPlacement } from './placement-formation.ts';
import { readPlacement } from './placement-store.ts';
import { startAttentionPool } from './start-attention-pool.ts';

/** Time between two looks at whether an instance can step together with others again, and within which it must. */
const READMISSION_POLL_MS = 5;
const READMISSION_LIMIT_MS = 10_000;
/** A reason to wait is told again after this many looks. */
const LOOKS_PER_LOG = 50;

/**
 * Starts the attention instances of a host whose experts live elsewhere: waits for the pool, makes the placement if none
 * is in force that all living hosts can serve, waits until its experts are loaded, then takes jobs. From then on they follow
 * the placement in force while they serve. Only when there has been none for too long they stop, and it starts over.
 */
export async function startAttention(host: Host): Promise<void> {
  let closed = false;
  const bell = PlacementBell.open(host.redis, host.options.model.name);
  let follower = await startUnderPlacement(host, bell, () => closed);
  const watch = (async () => {
    while (!closed && follower !== undefined) {
      await bell.wait();
      if (closed || (await follower.look())) continue;
      host.log('no placement can be served; starting over');
      host.placement = undefined;
      await host.attention?.stop();
      host.attention = undefined;
      follower = await startUnderPlacement(host, bell, () => closed);
    }
  })().catch((error) => host.log(`attention pool: ${error.message}`));
  host.onClose(async () => {
    closed = true;
    bell.close();
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

type RemoteExperts = Extract<ExpertSource, { kind: 'remote' }>;

/** The way of each attention instance to the experts of `placement`. */
function waysTo(
  { options }: Host,
  placement: Placement,
  members: readonly HostRecord[],
  round: Omit<RoundSource, 'index'> | null,
): (index: number) => RemoteExperts {
  const addresses = Object.fromEntries(members.map((member) => [member.host, member.address]));
  return (index) => ({
    kind: 'remote',
    placement,
    redisUrl: options.redisUrl,
    mode: options.exchange.mode,
    node: options.exchange.node,
    addresses,
    round: round && { ...round, index },
    overdueAfterMs: OVERDUE_AFTER_MS,
  });
}

async function startUnderPlacement(
  host: Host,
  bell: PlacementBell,
  closed: () => boolean,
): Promise<PlacementFollower | undefined> {
  const placement = await waitForPlacement(host, bell, closed);
  if (placement === undefined) return undefined;
  const { options, config } = host;
  const round = allocateHostRound(host);
  const follower = new PlacementFollower(host, placement, (next, members) => {
    host.attention?.place(waysTo(host, next, members, round));
  });
  const members = await readMembers(host.redis, options.model.name);
  await startAttentionPool(host, waysTo(host, placement, members, round), {
    ...(round && {
      onLost: (index: number) => dropFromRound(round.memory, index),
      onRestart: (index: number) => readmit(round.memory, index),
    }),
    onInterrupted: (interrupted: Interrupted) => {
      follower.report(interrupted);
      bell.ring();
    },
    kernels: planHostKernels(host, {
      expertRows: options.limits.tokenBudget,
      attentionInstances: options.attentionInstances,
    }),
  });
  const { version } = placement;
  host.placement = () => ({
    version: host.attention?.placementVersion ?? version,
    prepared: null,
    spareSlots: 0,
  });
  const instances = placement.instances.length;
  host.log(`model ${options.model.name} is ready: ${config.layers} layers, ${instances} expert instances`);
  return follower;
}

/** @throws JanusError when the round in which the instance ended is not over in time */
async function readmit(round: SharedArrayBuffer, index: number): Promise<void> {
  const untilMs = performance.now() + READMISSION_LIMIT_MS;
  while (!readmitToRound(round, index)) {
    if (performance.now() > untilMs) {
      throw new JanusError(
        `the instances that it stepped with are not done after ${READMISSION_LIMIT_MS} ms`,
      );
    }
    await sleep(READMISSION_POLL_MS);
  }
}

/** The placement in force, once its experts are all loaded; `undefined` when the host closes before. */
async function waitForPlacement(
  host: Host,
  bell: PlacementBell,
  closed: () => boolean,
): Promise<Placement | undefined> {
  const { redis, options, log } = host;
  const model = options.model.name;
  let told = '';
  for (let looks = 0; !closed(); looks++) {
    const [members, held] = await Promise.all([readMembers(redis, model), readPlacement(redis, model)]);
    const waitingFor = await formPlacement(host, held, members);
    if (waitingFor === null) return held!;
    if (waitingFor !== told || looks % LOOKS_PER_LOG === 0) log(`waiting for ${waitingFor}`);
    told = waitingFor;
    await bell.wait();
  }
  return undefined;
}
