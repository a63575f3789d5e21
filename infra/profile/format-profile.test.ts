import { expect, it } from 'vitest';
import { PROFILE } from '../../functions/scaler/scaler.fixture.ts';
import type { LoadMeasurement } from '../../shared/scaling/fit-model.ts';
import { NO_CONTENTION, predictTpot } from '../../shared/scaling/performance-model.ts';
import { formatProfile } from './format-profile.ts';

it('shows costs, how well they fit, and each load beside what the model says of it', () => {
  const operation = { attention: 1, experts: 2, batch: 8, context: 100, aMax: 7 };
  const { totalMs } = predictTpot(PROFILE.model, operation);
  const load: LoadMeasurement = {
    ...operation,
    attentionMs: 1,
    exchangeMs: 1,
    expertsMs: 1,
    activated: 6,
    stepMs: 1,
    totalMs: totalMs / 1.1,
  };
  const quality = {
    tpot: { measurements: 1, meanRelativeError: 0.1, mostRelativeError: 0.1, rSquared: 0.97 },
  };
  const contention = {
    ...NO_CONTENTION,
    parallelShare: 0.5,
    spreadMs: 0.2,
    workFactor: 1.25,
    besideFactor: 1.5,
    besideMs: 0.4,
  };
  const shared = { count: 2, helping: false };
  const contended = { ...PROFILE, model: { ...PROFILE.model, shared, contention } };
  expect(formatProfile({ profile: contended, loads: [] })).toContain(
    '50.0% of further processors beside each other, 200.000 µs per layer and further expert instance; ' +
      '1.50 times as long beside other attention instances; work of a step: 1.25 times the step + 400.000 µs (beside)',
  );
  const lines = formatProfile({ profile: { ...PROFILE, quality }, loads: [load] }).split('\n');
  expect(lines).toContain('per layer, in µs: attention floor 100.000, perRow 300.000, perContextToken 1.000');
  expect(lines).toContain('each instance has processors of its own');
  expect(lines).toContain('a_max for 1 to 4 expert instances of 16 slots');
  expect(lines).toContain('fit of tpot: off by 10.0% on average, 10.0% at most, R² 0.970');
  expect(lines.at(-1)).toMatch(/8\.0 +100 +7\.0 .* 10\.0%$/);
});
