import { Command, Option } from 'commander';
import type { Redis } from 'ioredis';
import { readMembers } from '../../../gpu-pool/host/membership.ts';
import { missingHosts } from '../../../gpu-pool/host/placement-formation.ts';
import { offersOf } from '../../../gpu-pool/host/placement-repair.ts';
import { readPlacement } from '../../../gpu-pool/host/placement-store.ts';
import { readTrace } from '../../../gpu-pool/host/trace-store.ts';
import { packedFormats } from '../../../gpu-pool/packed/packed-formats.ts';
import { weightFormats } from '../../../gpu-pool/runtime/weights.ts';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { withInstances } from '../../../shared/replacement/numbering.ts';
import { seatOffers } from '../../../shared/replacement/restoration.ts';
import { type Placement, SPARE_SLOTS, type SpareSlots } from '../../../shared/scheduler/layout.ts';
import { byteCount } from '../options/byte-count.ts';
import { DEFAULT_MODEL, resolveModel } from '../options/model-option.ts';
import { type RedisFlags, redisOption } from '../options/redis-option.ts';
import { notEmpty, oneOf, wholeNumber } from '../options/values.ts';
import { DEFAULT_WEIGHT_FORM } from '../options/weight-form.ts';
import { expertBytes } from '../placement/expert-bytes.ts';
import { formatPlan, formatView } from '../placement/format-placement.ts';
import { viewPlacement } from '../placement/placement-view.ts';
import { type PlacementPlan, planPlacement } from '../placement/plan-placement.ts';
import { putInForce } from '../placement/put-in-force.ts';
import { withRedis } from '../with-redis.ts';

const MOST_SLOTS = 4_096;
const LARGEST_SEED = 999_999_999;
const DEFAULT_SEED = 1;

interface PlacementFlags extends RedisFlags {
  readonly model: string;
  readonly name?: string;
  readonly json?: true;
}

interface PlanFlags extends PlacementFlags {
  readonly capacity?: number;
  readonly maxMoveBytes?: number;
  readonly spareSlots?: SpareSlots;
  readonly seed: number;
}

export function placementCommand(): Command {
  return new Command('placement')
    .description('Show which expert instance holds what, and fit it to the traffic')
    .addCommand(
      addOptions(new Command('show'))
        .description('Show the placement in force and what the traffic makes of it')
        .action(show),
    )
    .addCommand(
      addPlanOptions(new Command('plan'))
        .description('Compute a placement for the present traffic; changes nothing')
        .action(plan),
    )
    .addCommand(
      addPlanOptions(new Command('apply'))
        .description('Compute a placement for the present traffic and put it in force while it serves')
        .action(apply),
    );
}

function addOptions(command: Command): Command {
  return command
    .option(
      '--model <folder or name>',
      'Hugging Face checkpoint folder, or a model in gpu-pool/models',
      notEmpty('--model', DEFAULT_MODEL),
      DEFAULT_MODEL,
    )
    .option('--name <name>', "name under which the model is served (default: the folder's base name)")
    .option('--json', 'one JSON object on stdout')
    .addOption(redisOption());
}

function addPlanOptions(command: Command): Command {
  return addOptions(command)
    .option(
      '--capacity <c>',
      'replica slots per expert instance and layer (default: as now)',
      wholeNumber('--capacity', 1, MOST_SLOTS),
    )
    .option(
      '--max-move-bytes <bytes>',
      'bound on the weights that instances load; only the best moves are made (default: a placement made afresh)',
      byteCount('--max-move-bytes'),
    )
    .addOption(
      new Option(
        '--spare-slots <use>',
        `what replica slots beyond one per expert are for: ${SPARE_SLOTS.join(', ')} (default: as now)`,
      ).argParser(oneOf('--spare-slots', SPARE_SLOTS)),
    )
    .option('--seed <n>', 'of the search', wholeNumber('--seed', 0, LARGEST_SEED), DEFAULT_SEED);
}

async function show(flags: PlacementFlags): Promise<void> {
  await withRedis(flags, async (redis) => {
    const { name } = resolveModel(flags.model, flags.name);
    const view = viewPlacement(await placementInForce(redis, name), await readTrace(redis, name));
    console.log(flags.json ? JSON.stringify(view) : formatView(view));
  });
}

async function plan(flags: PlanFlags): Promise<void> {
  await withRedis(flags, async (redis) => {
    const planned = await makePlan(redis, flags);
    console.log(flags.json ? JSON.stringify(planned) : formatPlan(planned));
  });
}

async function apply(flags: PlanFlags): Promise<void> {
  await withRedis(flags, async (redis) => {
    const planned = await makePlan(redis, flags);
    const applied = planned.moves.length > 0;
    const placement = applied ? await putInForce(redis, planned) : planned.placement;
    if (flags.json) return console.log(JSON.stringify({ ...planned, placement, applied }));
    console.log(formatPlan(planned));
    if (applied) console.log(`version ${placement.version} is in force: all of its hosts hold it`);
  });
}

/** @throws JanusError when there is no placement or trace, or a host of the placement is gone */
async function makePlan(redis: Redis, flags: PlanFlags): Promise<PlacementPlan> {
  const { name, config, packed } = resolveModel(flags.model, flags.name);
  const [inForce, trace, members] = await Promise.all([
    placementInForce(redis, name),
    readTrace(redis, name),
    readMembers(redis, name),
  ]);
  const missing = missingHosts(inForce, members);
  if (missing.length > 0) {
    throw new JanusError(
      `Host ${missing.join(', ')} of placement version ${inForce.version} is gone: the attention hosts make a new placement ` +
        'as soon as enough expert instances are there. Wait for it, then plan.',
    );
  }
  if (trace === null) {
    throw new JanusError(
      `There is no activation trace of ${name} yet: its attention instances store one every few seconds once they have ` +
        'served requests. Send some, then plan.',
    );
  }
  const expertHost = members.find((member) => member.role !== 'attention');
  const formats = packed
    ? packedFormats(packed)
    : weightFormats(expertHost?.weightForm ?? DEFAULT_WEIGHT_FORM);
  const seats = seatOffers(inForce, offersOf(members));
  const hosts = new Set(members.map(({ host }) => host));
  return planPlacement(withInstances(inForce, seats), trace, {
    living: seats.filter(({ host }) => hosts.has(host)).map(({ id }) => id),
    expertBytes: expertBytes(config, formats),
    capacity: flags.capacity,
    maxMoveBytes: flags.maxMoveBytes,
    spareSlots: flags.spareSlots,
    seed: flags.seed,
  });
}

async function placementInForce(redis: Redis, model: string): Promise<Placement> {
  const placement = await readPlacement(redis, model);
  if (placement !== null) return placement;
  throw new JanusError(
    `No placement of ${model} is in force: no hosts have served it with this Redis. \`janus status\` shows what there is.`,
  );
}
