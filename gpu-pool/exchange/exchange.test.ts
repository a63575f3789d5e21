import { describe, expect, test } from 'vitest';
import { staticPlacement } from '../../shared/placement/placement.ts';
import type { LayerStep, LayerStepShape } from '../../shared/protocol/layer-step.ts';
import { withInstances } from '../../shared/replacement/numbering.ts';
import {
  allocateStep,
  type Exchange,
  PooledExchange,
  type PooledExchangeOptions,
  type Relay,
} from './exchange.ts';
import { type ExpertLink, emptyStatistics, PeerLostError } from './link.ts';
import { MonolithExchange } from './monolith.ts';

const shape: LayerStepShape = { maxRows: 4, hiddenSize: 2, expertsPerToken: 2 };
/** Hosts a, b and c hold experts 0 and 1, 2 and 3, 4 and 5. */
const hosts = ['a', 'b', 'c'];
const placement = staticPlacement({
  version: 3,
  model: 'm',
  layers: 2,
  experts: 6,
  capacity: 2,
  instances: hosts.map((host, id) => ({ id, host })),
});
const hostOf = (expert: number) => hosts.find((_, id) => placement.layers[0]!.slots[id]!.includes(expert))!;
const heldBy = (host: string) => [0, 1, 2, 3, 4, 5].filter((expert) => hostOf(expert) === host);

/** A link that answers each row with ten to the power of its host's number, when `settle` is called. */
class ManualLink implements ExpertLink {
  readonly kind = 'redis';
  readonly statistics = emptyStatistics();
  readonly host: string;
  readonly steps: LayerStep[] = [];
  closed = false;
  settle: (error?: Error) => void = () => {};
  /** Set while it watches for somebody. */
  lost: ((error: PeerLostError) => void) | undefined;

  constructor(host: string) {
    this.host = host;
  }

  exchange(step: LayerStep, output: Float32Array): Promise<void> {
    this.steps.push({ ...step });
    return new Promise((resolve, reject) => {
      this.settle = (error) => {
        if (error) return reject(error);
        output.fill(10 ** hosts.indexOf(this.host), 0, step.rows * shape.hiddenSize);
        resolve();
      };
    });
  }

  watch(_bytes: number, lost: (error: PeerLostError) => void): () => void {
    this.lost = lost;
    return () => {
      this.lost = undefined;
    };
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

/** A relay that never answers. */
class SilentRelay implements Relay {
  readonly statistics = emptyStatistics();
  #failed: (error: Error) => void = () => {};

  exchange(): Promise<void> {
    return new Promise((_, reject) => {
      this.#failed = reject;
    });
  }

  abandon(error: Error): void {
    this.#failed(error);
  }

  async close(): Promise<void> {}
}

const pooled = (links: readonly ExpertLink[], options: Partial<PooledExchangeOptions> = {}): PooledExchange =>
  new PooledExchange({
    step: allocateStep(shape),
    shape,
    placement,
    destinations: links.map((link, id) => ({ instances: [id], link })),
    gated: true,
    ...options,
  });

function open(): { exchange: Exchange; links: ManualLink[] } {
  const links = hosts.map((host) => new ManualLink(host));
  return { exchange: pooled(links), links };
}

describe('an exchange with several hosts', () => {
  test('sends to the hosts that have an activated expert, and adds their shares', async () => {
    const { exchange, links } = open();
    const output = new Float32Array(8).fill(Number.NaN);
    exchange.step.expertIds.set([...heldBy('b'), ...heldBy('b'), heldBy('b')[0]!, heldBy('c')[0]!]);
    const done = exchange.run(1, 3, output);
    expect(links.map((link) => link.steps.length)).toEqual([0, 1, 1]);
    expect(links[1]!.steps[0]).toMatchObject({ layer: 1, rows: 3, placementVersion: 3 });
    for (const link of [links[2]!, links[1]!]) link.settle();
    await done;
    expect([...output]).toEqual([110, 110, 110, 110, 110, 110, Number.NaN, Number.NaN]);
    expect(exchange.aMax).toBe(2);
  });

  test('answers a step without rows without asking anybody', async () => {
    const { exchange, links } = open();
    await exchange.run(0, 0, new Float32Array(8));
    expect(links.flatMap((link) => link.steps)).toEqual([]);
  });

  test('asks nothing of a host that the placement gives nothing, also where hosts gate', async () => {
    const links = [...hosts, 'd'].map((host) => new ManualLink(host));
    const instances = [...placement.instances, { id: 3, host: 'd' }];
    const exchange = pooled(links, { placement: withInstances(placement, instances), gated: false });
    const done = exchange.run(0, 1, new Float32Array(8));
    expect(links.map((link) => link.steps.length)).toEqual([1, 1, 1, 0]);
    for (const link of links.slice(0, 3)) link.settle();
    await done;
  });

  test('passes an error on only when all hosts have come to rest', async () => {
    const { exchange, links } = open();
    exchange.step.expertIds.set([heldBy('a')[0]!, heldBy('b')[0]!]);
    let state = 'running';
    const done = exchange.run(0, 1, new Float32Array(8)).catch((error: unknown) => {
      state = 'failed';
      return error;
    });
    links[0]!.settle(new PeerLostError('a', 'unplugged'));
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(state).toBe('running');
    links[1]!.settle();
    expect(await done).toBeInstanceOf(PeerLostError);
  });

  test('closes its links, then what they share', async () => {
    const links = hosts.map((host) => new ManualLink(host));
    const closedBefore: boolean[] = [];
    const closeConnections = async () => {
      closedBefore.push(...links.map((link) => link.closed));
    };
    const exchange = pooled(links, { closeConnections });
    await exchange.close();
    expect(closedBefore).toEqual([true, true, true]);
  });
});

describe('a step under way through the relay', () => {
  function relayed() {
    const links = hosts.map((host) => new ManualLink(host));
    const policy = { choose: () => 'relay' as const, record: () => {}, records: [] };
    const exchange = pooled(links, { relay: { relay: new SilentRelay(), policy } });
    exchange.step.expertIds.set([heldBy('a')[0]!, heldBy('b')[0]!]);
    const output = new Float32Array(8);
    return { links, output, done: exchange.run(0, 1, output) };
  }

  test('is sent directly as soon as the connection to one of its hosts breaks', async () => {
    const { links, output, done } = relayed();
    expect(links.map(({ lost }) => lost !== undefined)).toEqual([true, true, false]);
    links[1]!.lost!(new PeerLostError('b', 'the connection was closed'));
    await expect.poll(() => links.map((link) => link.steps.length)).toEqual([1, 1, 0]);
    expect(links.map(({ lost }) => lost)).toEqual([undefined, undefined, undefined]);
    for (const link of links.slice(0, 2)) link.settle();
    await done;
    expect([...output.subarray(0, 2)]).toEqual([11, 11]);
  });

  test('fails as soon as one of its hosts is lost for certain', async () => {
    const { links, done } = relayed();
    links[0]!.lost!(new PeerLostError('a', 'it was silent', 'host'));
    await expect(done).rejects.toThrow(/Expert host a is lost: it was silent/);
    expect(links.flatMap((link) => link.steps)).toEqual([]);
  });
});

test('the monolith computes the same step without links', async () => {
  const exchange = new MonolithExchange(shape, 6, (layer, expert, input, _rows, output) => {
    for (let i = 0; i < input.length; i++) output[i] = input[i]! * expert + layer;
  });
  exchange.step.hidden.set([1, 2, 3, 4]);
  exchange.step.expertIds.set([5, 0, 2, 5]);
  exchange.step.gateWeights.set([1, 2, 0.5, 0.25]);
  const output = new Float32Array(8).fill(Number.NaN);
  await exchange.run(4, 2, output);
  // Row 0: 1·(5x + 4) + 2·4; row 1: ½·(2x + 4) + ¼·(5x + 4).
  expect([...output.subarray(0, 4)]).toEqual([17, 22, 9.75, 12]);
  expect(exchange.aMax).toBe(3);
  expect(exchange.statistics).toEqual([]);
});
