import { describe, expect, it } from 'vitest';
import { MODEL, useActuatorBed } from '../../test/support/kubernetes/actuator-bed.ts';
import { raiseToLeast } from './raise-to-least.ts';

const bed = useActuatorBed();

describe('a model that begins', () => {
  const raise = (signal: AbortSignal, told: string[]) =>
    raiseToLeast({
      actuator: bed.actuator,
      model: MODEL,
      intervalMs: 5,
      onOutcome: ({ kind }) => told.push(kind),
      report: (error) => told.push((error as Error).message),
      signal,
    });

  it('gets the least that serves, as soon as its Deployments can be scaled', async () => {
    bed.api.break(2, 500);
    const told: string[] = [];
    await raise(new AbortController().signal, told);
    expect(told).toEqual([expect.stringMatching(/500/), expect.stringMatching(/500/), 'applied']);
    expect(bed.held()).toEqual({ attention: 1, experts: 2 });
  });

  it('keeps what it has, if that is more', async () => {
    await bed.apply(2, 6);
    const told: string[] = [];
    await raise(new AbortController().signal, told);
    expect([told, bed.held()]).toEqual([['unchanged'], { attention: 2, experts: 6 }]);
  });

  it('is left alone when whoever raises it ends', async () => {
    bed.api.break(Number.POSITIVE_INFINITY, 500);
    const ending = new AbortController();
    const raised = raise(ending.signal, []);
    await expect.poll(() => bed.api.requests.length).toBeGreaterThan(1);
    ending.abort();
    await raised;
    expect(bed.held()).toEqual({ attention: 1, experts: 1 });
  });
});
