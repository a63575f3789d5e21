import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EXCHANGE_MODES, type ExchangeMode } from '../../gpu-pool/exchange/exchange-options.ts';
import { SCHEDULER_NAMES } from '../../shared/scheduler/scheduling.ts';
import { TestClient } from '../support/generate.ts';
import { DECIDED_GAP, GOLDEN_CASES } from '../support/golden.ts';
import { Fleet, type FleetOptions, GATES } from '../support/nodes/fleet.ts';
import { type NodeRedis, startNodeRedis } from '../support/nodes/node-redis.ts';
import { createNodes, type Nodes, nodesUnavailable } from '../support/nodes/nodes.ts';

/** `npm run test:matrix` sets it: every combination, instead of a few in which each value occurs. */
const isWhole = process.env.JANUS_MATRIX === 'whole';
/** Short answers, enough of them for all instances at once, and decided by more than rounding. */
const CASES = GOLDEN_CASES.filter(
  (known) => known.smallest_gap > 10 * DECIDED_GAP && known.generated_ids.length <= 24,
).slice(0, 12);
/** Fleets that run at the same time on the same nodes, since a host that starts or stops leaves a processor idle. */
const FLEETS_AT_ONCE = 3;
const REDUCED_LIMIT_MS = 60_000;
const LAYOUT_LIMIT_MS = 1_800_000;
/** Instances of each host, by their number in all: attention on at most two nodes, experts on two others. */
const ATTENTION = { 1: [1], 2: [2], 3: [2, 1] } as const;
const EXPERTS = { 1: [1], 2: [1, 1], 3: [2, 1], 4: [2, 2] } as const;
const NODES = 4;

interface Combination extends Pick<FleetOptions, 'attention' | 'experts' | 'gate' | 'scheduler'> {
  readonly exchanges: readonly ExchangeMode[];
}

const layouts = Object.entries(ATTENTION).flatMap(([a, attention]) =>
  Object.entries(EXPERTS).map(([e, experts]) => ({ layout: `${a}A${e}E`, attention, experts })),
);

/** Every exchange, gate and scheduler on one layout. */
const allOn = ({ attention, experts }: Pick<Combination, 'attention' | 'experts'>): Combination[] =>
  GATES.flatMap((gate) =>
    SCHEDULER_NAMES.map((scheduler) => ({ attention, experts, exchanges: EXCHANGE_MODES, gate, scheduler })),
  );

/** As many combinations as there are exchanges, in which every exchange, scheduler, gate and number of instances occurs. */
const REDUCED = (['3A4E', '2A2E', '3A3E', '2A4E', '1A2E', '1A1E'] as const).map((name, i): Combination => {
  const { attention, experts } = layouts.find(({ layout }) => layout === name)!;
  const [exchange, gate] = [EXCHANGE_MODES[i]!, GATES[i % GATES.length]!];
  const scheduler = SCHEDULER_NAMES[i % SCHEDULER_NAMES.length]!;
  return { attention, experts, exchanges: [exchange], gate, scheduler };
});

const nameOf = ({ attention, experts, gate, scheduler }: Combination): string =>
  `${attention.join('.')}A-${experts.join('.')}E-${gate}-${scheduler}`;

const unavailable = nodesUnavailable();
const title = `hosts on nodes of their own${unavailable === undefined ? '' : ` (skipped: ${unavailable})`}`;

describe.skipIf(unavailable !== undefined)(title, () => {
  let network: Nodes;
  let redis: NodeRedis;
  let client: TestClient;

  beforeAll(async () => {
    network = await createNodes(NODES + 1);
    redis = await startNodeRedis(network.nodes[NODES]!);
    client = new TestClient(redis.socketPath);
  });
  afterAll(async () => {
    await client?.close();
    await redis?.stop();
    await network?.close();
  });

  /** What went wrong with one exchange on a fleet, in one line; `undefined` when its answers are the reference's. */
  async function faultOf(fleet: Fleet, what: string): Promise<string | undefined> {
    const answers = await Promise.all(
      CASES.map(({ prompt_ids }) =>
        client.generate({ model: fleet.options.name, prompt: { kind: 'tokens', ids: prompt_ids } }),
      ),
    );
    const failed = answers.map(({ end }) => end).find((end) => end.kind === 'failed');
    if (failed) return `${what}: ${failed.error.message}`;
    const wrong = CASES.filter(({ generated_ids }, i) => answers[i]!.ids.join() !== generated_ids.join());
    return wrong.length === 0 ? undefined : `${what}: ${wrong.length} of ${CASES.length} answers differ`;
  }

  /** What went wrong with a combination and each of its exchanges, which take turns with the same expert hosts. */
  async function faults(combination: Combination): Promise<string[]> {
    const name = nameOf(combination);
    // With an expert on several instances schedulers differ.
    const slots = combination.experts.length === 1 ? {} : { slots: 24 };
    const [first, ...others] = combination.exchanges;
    const options = { ...combination, ...slots, exchange: first!, name, kvSlots: 8, tokenBudget: 64 };
    const found: (string | undefined)[] = [];
    let fleet: Fleet | undefined;
    try {
      fleet = await Fleet.start(network.nodes, redis, options);
      found.push(await faultOf(fleet, `${name}, ${first}`));
      for (const exchange of others) {
        await fleet.exchangeBy(exchange);
        found.push(await faultOf(fleet, `${name}, ${exchange}`));
      }
    } catch (error) {
      found.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      await fleet?.stop();
    }
    return found.filter((fault) => fault !== undefined);
  }

  async function faultsOf(combinations: readonly Combination[]): Promise<string[]> {
    const left = [...combinations];
    const found: string[] = [];
    const runSome = async (): Promise<void> => {
      for (let next = left.shift(); next !== undefined; next = left.shift()) {
        found.push(...(await faults(next)));
      }
    };
    await Promise.all(Array.from({ length: FLEETS_AT_ONCE }, runSome));
    return found;
  }

  if (isWhole) {
    it.each(layouts)(
      'generate the reference token ids in every combination on $layout',
      async (layout) => {
        expect(await faultsOf(allOn(layout))).toEqual([]);
      },
      LAYOUT_LIMIT_MS,
    );
  } else {
    it(
      'generate the reference token ids over every exchange and scheduler, with either gate',
      async () => {
        expect(await faultsOf(REDUCED)).toEqual([]);
      },
      REDUCED_LIMIT_MS,
    );
  }
});
