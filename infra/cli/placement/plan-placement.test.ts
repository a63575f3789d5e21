import { describe, expect, it } from 'vitest';
import { ActivationTrace } from '../../../shared/placement/trace.ts';
import { checkPlacement } from '../../../shared/scheduler/layout.ts';
import { formatPlan, formatView } from './format-placement.ts';
import { inForce, skewedTrace } from './placement.fixture.ts';
import { viewPlacement } from './placement-view.ts';
import { type PlanOptions, planPlacement } from './plan-placement.ts';

const trace = skewedTrace();
const OPTIONS: PlanOptions = { expertBytes: 1_000, capacity: undefined, maxMoveBytes: undefined, seed: 1 };
const plan = (options: Partial<PlanOptions>) => planPlacement(inForce, trace, { ...OPTIONS, ...options });

describe('planPlacement', () => {
  it('makes the next version on the same instances, with lower a_max', () => {
    const { placement, from, aMax, moves, movedBytes } = plan({});
    checkPlacement(placement);
    expect(from).toBe(3);
    expect(placement).toMatchObject({ version: 4, capacity: 10, instances: inForce.instances });
    expect(aMax.find(({ tokens }) => tokens === 4)!).toSatisfy(
      ({ before, after }: { before: number; after: number }) => after < 0.95 * before,
    );
    expect(movedBytes).toBe(moves.length * 1_000);
  });

  it('keeps what can stay: fewer replicas are loaded than the placement holds', () => {
    expect(plan({}).moves.length).toBeLessThan(0.75 * 6 * 40);
  });

  it.each([undefined, 20_000])('keeps how steps are scheduled (bound %s)', (maxMoveBytes) => {
    const scheduling = { scheduler: 'optimal' } as const;
    const { placement } = planPlacement({ ...inForce, scheduling }, trace, { ...OPTIONS, maxMoveBytes });
    expect(placement).toMatchObject({ version: 4, scheduling });
  });

  it('keeps to the bound on bytes, and to the version in force where nothing may move', () => {
    const bounded = plan({ maxMoveBytes: 7_500 });
    expect(bounded.moves.length).toBeGreaterThan(0);
    expect(bounded.movedBytes).toBeLessThanOrEqual(7_500);
    const nothing = plan({ maxMoveBytes: 0 });
    expect(nothing.placement).toBe(inForce);
    expect(formatPlan(nothing)).toContain('placement version 3 stays');
  });

  it('changes the capacity when asked, and gives up slots only afresh', () => {
    expect(plan({ capacity: 8 }).placement.capacity).toBe(8);
    const wider = plan({ capacity: 12, maxMoveBytes: 20_000 });
    checkPlacement(wider.placement);
    expect(wider.placement.capacity).toBe(12);
    expect(() => plan({ capacity: 8, maxMoveBytes: 20_000 })).toThrow(/--capacity is 8.*--max-move-bytes/);
    expect(() => plan({ capacity: 7 })).toThrow(/cannot hold 32 experts/);
  });

  it('covers as many experts as the slots let when asked, and goes on to', () => {
    const covering = plan({ spareSlots: 'coverage' });
    checkPlacement(covering.placement);
    // 40 slots for 32 experts.
    expect(covering.covered).toMatchObject({ after: 6 * 8, of: 6 * 32 });
    expect(plan({}).covered.after).toBeLessThan(6 * 8);
    expect(formatPlan(covering)).toContain('survive the death of any one host: 48 of 192, ');
    for (const maxMoveBytes of [undefined, 20_000]) {
      const next = planPlacement(covering.placement, skewedTrace(), { ...OPTIONS, seed: 2, maxMoveBytes });
      expect(next.covered.after).toBe(48);
    }
    expect(() => plan({ spareSlots: 'coverage', maxMoveBytes: 20_000 })).toThrow(
      /--spare-slots is coverage, .* for load/,
    );
  });

  it('refuses a trace of another model', () => {
    const other = new ActivationTrace({ layers: 6, experts: 8, expertsPerToken: 2 }, 4);
    expect(() => planPlacement(inForce, other, OPTIONS)).toThrow(/6 layers with 8 experts/);
  });
});

describe('formatPlan', () => {
  it('says what moves and what comes of it', () => {
    const lines = formatPlan(plan({ maxMoveBytes: 7_500 })).split('\n');
    expect(lines[0]).toBe(
      'dictionary-moe: planned to follow version 3, 10 replica slots per instance and layer',
    );
    expect(lines[1]).toMatch(/^\d replicas to load on \d instances, \d+\.\d KiB$/);
    expect(lines[3]).toBe('tokens  version 3  planned  change');
    expect(lines[4]).toMatch(/^ {5}1 +\d\.\d\d +\d\.\d\d +-?\d+\.\d%$/);
  });
});

describe('formatView', () => {
  it('shows what every instance holds and computes', () => {
    const view = viewPlacement(inForce, trace);
    const lines = formatView(view).split('\n');
    expect(lines).toHaveLength(1 + 1 + 4 + 1 + 1 + 5);
    expect(lines[2]).toMatch(/^0 +host-0 +60 of 60 +\d\.\d\d$/);
    const activated = view.instances.reduce((sum, instance) => sum + instance.meanActivated!, 0);
    expect(activated).toBeGreaterThan(20);
    expect(activated).toBeLessThanOrEqual(32);
    expect(lines[6]).toBe('expected a_max, from 768 tokens of late');
  });

  it('says so when nothing is known of the traffic', () => {
    const text = formatView(viewPlacement(inForce, null));
    expect(text).toContain('no activation trace yet');
    expect(text).toMatch(/0 +host-0 +60 of 60 +\?/);
  });
});
