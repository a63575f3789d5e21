import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { PooledExchange, RegimePolicy } from '../../gpu-pool/exchange/exchange.ts';
import {
  ExpertFailedError,
  LinkClosedError,
  PeerLostError,
  StalePlacementError,
} from '../../gpu-pool/exchange/link.ts';
import type { Regime } from '../../shared/exchange/regime.ts';
import { RegimeChooser } from '../../shared/exchange/regime-chooser.ts';
import { dispatchBytes } from '../../shared/protocol/frame.ts';
import { dispatchListKey } from '../../shared/protocol/keys.ts';
import { MODEL, PLACEMENT_VERSION, referenceOutput, SHAPE } from '../support/exchange/link-harness.ts';
import { RELAY_CONNECTION_NAMES, type RelayHarness } from '../support/exchange/relay-harness.ts';
import { joinedList, makeStep, RELAY_BOUND_MS, steal, useRelays } from '../support/exchange/relay-steps.ts';
import { SLOW_MS } from '../support/exchange/test-expert.ts';

const { open, useHarness } = useRelays();

/** Goes through the relay and notes what it is told. */
class NotingPolicy implements RegimePolicy {
  readonly records = [];
  readonly noted: { regime: Regime; bytes: number; tookUs: number }[] = [];
  choose(): Regime {
    return 'relay';
  }
  record(regime: Regime, bytes: number, tookUs: number): void {
    this.noted.push({ regime, bytes, tookUs });
  }
}

function openExchange(harness: RelayHarness, policy: RegimePolicy): PooledExchange {
  const exchange = harness.openExchange(policy);
  onTestFinished(() => exchange.close());
  return exchange;
}

async function expectRightOutput(exchange: PooledExchange, seed = 7): Promise<void> {
  const { rows, layer, hidden, expertIds, gateWeights } = makeStep(seed);
  exchange.step.hidden.set(hidden);
  exchange.step.expertIds.set(expertIds);
  exchange.step.gateWeights.set(gateWeights);
  const output = new Float32Array(SHAPE.maxRows * SHAPE.hiddenSize).fill(Number.NaN);
  await exchange.run(layer, rows, output);
  const reference = referenceOutput(exchange.step, SHAPE);
  // Shares are rounded before they are added.
  for (const [i, value] of reference.entries()) expect(output[i]).toBeCloseTo(value, 4);
}

const direct = (exchange: PooledExchange): number =>
  exchange.statistics.reduce((sum, way) => sum + (way.kind === 'relay' ? 0 : way.layerSteps), 0);

async function expectNotSentDirectly(
  harness: RelayHarness,
  exchange: PooledExchange,
  { noted }: NotingPolicy,
  failure: new (...args: never[]) => Error,
): Promise<void> {
  const sends = vi.spyOn(harness.sender, 'rpush');
  onTestFinished(() => sends.mockRestore());
  await expect(expectRightOutput(exchange)).rejects.toThrow(failure);
  expect(sends).not.toHaveBeenCalled();
  expect(noted).toEqual([]);
}

describe('an exchange with a relay', () => {
  test('adds the shares of all hosts, and tells its policy how long each step took', async () => {
    const harness = await open({ instances: [1, 1, 1] });
    const policy = new NotingPolicy();
    const exchange = openExchange(harness, policy);
    harness.setBehaviour(2, 'slow');
    for (let seed = 3; seed < 8; seed++) await expectRightOutput(exchange, seed);
    expect(direct(exchange)).toBe(0);
    expect(exchange.statistics.at(-1)).toMatchObject({
      host: 'all',
      kind: 'relay',
      layerSteps: 5,
      messages: 10,
    });
    expect(policy.noted).toHaveLength(5);
    for (const [i, { regime, bytes, tookUs }] of policy.noted.entries()) {
      expect(regime).toBe('relay');
      expect(bytes).toBe(dispatchBytes(3 + i, SHAPE));
      expect(tookUs).toBeGreaterThan(900 * SLOW_MS);
    }
  });

  describe('that is used again and again', () => {
    const shared = useHarness();
    const policy = new NotingPolicy();
    let exchange: PooledExchange;
    beforeAll(() => {
      exchange = shared().openExchange(policy);
    });
    beforeEach(() => {
      policy.noted.length = 0;
    });
    afterAll(() => exchange.close());

    test.each([
      ['frame', ({ hosts }: RelayHarness) => dispatchListKey(MODEL, hosts[0]!)],
      ['message', joinedList],
    ])('sends a step directly whose %s was lost, and holds the time against the relay', async (_, list) => {
      const before = direct(exchange);
      await expectRightOutput(exchange, 6);
      expect(direct(exchange)).toBe(before);
      await steal(shared(), list(shared()));
      await expectRightOutput(exchange, 7);
      expect(direct(exchange)).toBe(before + 2);
      expect(policy.noted[1]).toMatchObject({ regime: 'relay' });
      expect(policy.noted[1]!.tookUs).toBeGreaterThan(900 * RELAY_BOUND_MS);
      await expectRightOutput(exchange, 8);
      expect(direct(exchange)).toBe(before + 2);
    });

    test('does not send a step directly that failed at a host', async () => {
      shared().setBehaviour(1, 'fail');
      await expectNotSentDirectly(shared(), exchange, policy, ExpertFailedError);
    });

    test('survives it when the connections are killed again and again', async () => {
      const harness = shared();
      let running = true;
      const killer = (async () => {
        for (let i = 0; running; i++) {
          await harness.killConnections(RELAY_CONNECTION_NAMES[i % RELAY_CONNECTION_NAMES.length]!);
          await sleep(150);
        }
      })();
      try {
        for (let i = 0; i < 25; i++) {
          await expectRightOutput(exchange, i);
          await sleep(10);
        }
      } finally {
        running = false;
        await killer;
      }
    });
  });

  test('does not send a step directly that a host refused because of its placement', async () => {
    const harness = await open({ versions: { 1: PLACEMENT_VERSION + 1 } });
    const policy = new NotingPolicy();
    await expectNotSentDirectly(harness, openExchange(harness, policy), policy, StalePlacementError);
  });

  test('tells that a host is lost when it is lost both ways', async () => {
    const harness = await open();
    const exchange = openExchange(harness, new NotingPolicy());
    await harness.lose(1);
    await expect(expectRightOutput(exchange)).rejects.toThrow(PeerLostError);
  });

  test('goes both ways when it is to find out which is faster', async () => {
    const harness = await open();
    const exchange = openExchange(harness, new RegimeChooser({ direct: 2, relay: 1 }));
    for (let seed = 1; seed < 40; seed++) await expectRightOutput(exchange, seed);
    const [first, , relay] = exchange.statistics;
    expect(relay!.layerSteps).toBeGreaterThanOrEqual(4);
    expect(first!.layerSteps).toBeGreaterThanOrEqual(4);
  });

  test('ends the step under way when it is closed', async () => {
    const harness = await open();
    const exchange = openExchange(harness, new NotingPolicy());
    harness.setBehaviour(1, 'silent');
    const failure = expect(expectRightOutput(exchange)).rejects.toThrow(LinkClosedError);
    await sleep(50);
    await exchange.close();
    await failure;
  });
});
