import { expect, test } from 'vitest';
import { allocateStep, type Exchange, type ExchangeStatistics } from './exchange.ts';
import { emptyStatistics } from './link.ts';
import { SwitchableExchange } from './switchable-exchange.ts';

const SHAPE = { maxRows: 2, hiddenSize: 4, expertsPerToken: 1 };

/** An exchange that counted something, and whether it is closed. */
function counted(host: string, layerSteps: number): Exchange & { closed: boolean } {
  const link: ExchangeStatistics = {
    ...emptyStatistics(),
    host,
    kind: 'socket',
    layerSteps,
    maxRoundTripUs: layerSteps,
  };
  const regime = { layerSteps, meanPredictedUs: layerSteps, meanMeasuredUs: 1 };
  return {
    step: allocateStep(SHAPE),
    aMax: layerSteps,
    counters: { layerSteps, totalAMax: 2 * layerSteps, regimes: [{ regime: 'direct', ...regime }] },
    statistics: [link],
    closed: false,
    async run(_layer, _rows, output) {
      output.fill(layerSteps);
    },
    async close() {
      this.closed = true;
    },
  };
}

test('goes on with the next exchange and its memory, closes the one before, and goes on counting', async () => {
  const [first, second, third] = [counted('a', 1), counted('a', 3), counted('b', 5)];
  const exchange = new SwitchableExchange(first);
  const output = new Float32Array(4);
  await exchange.run(0, 1, output);
  expect(output[0]).toBe(1);
  await exchange.switchTo(second);
  expect([first.closed, second.closed, exchange.step === second.step]).toEqual([true, false, true]);
  await exchange.run(0, 1, output);
  expect(output[0]).toBe(3);
  expect(exchange.statistics).toMatchObject([{ host: 'a', layerSteps: 4, maxRoundTripUs: 3 }]);
  expect(exchange.counters).toEqual({
    layerSteps: 4,
    totalAMax: 8,
    regimes: [{ regime: 'direct', layerSteps: 4, meanPredictedUs: 2.5, meanMeasuredUs: 1 }],
  });
  // Of a host that is gone nothing is kept, but in the sums.
  await exchange.switchTo(third);
  expect(exchange.statistics).toMatchObject([{ host: 'b', layerSteps: 5 }]);
  expect(exchange.counters.layerSteps).toBe(9);
});
