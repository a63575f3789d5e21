import { describe, expect, it } from 'vitest';
import type { HostRecord } from '../../../shared/protocol/member.ts';
import { hostRecord } from '../../support/gateway/scripted-pool.ts';
import { type Part, profileSteps } from './step-profile.ts';

const LAYERS = 4;

/** A host after `steps` steps, of which each took the same, on top of what it did before. */
function recordAfter(steps: number): HostRecord {
  const empty = hostRecord('model', 'host', 'ready');
  const [attention] = empty.attention as [HostRecord['attention'][number]];
  const [experts] = empty.experts as [HostRecord['experts'][number]];
  const perStep = {
    plan: 0.5,
    embed: 0.25,
    pre: 1,
    attend: 2,
    post: 1,
    exchange: 10,
    head: 3,
    sample: 1.5,
    publish: 0.75,
    store: 4,
  };
  const phasesMs = Object.fromEntries(
    Object.entries(perStep).map(([phase, ms]) => [phase, 100 + ms * steps]),
  );
  return {
    ...empty,
    attention: [{ ...attention, steps: 7 + steps, phasesMs }],
    experts: [{ ...experts, groups: 50 + 12 * steps, groupsMs: 5 + 6 * steps }],
    traffic: [
      {
        host: 'host',
        kind: 'shared-memory',
        layerSteps: LAYERS * steps,
        messagesSent: 0,
        messagesReceived: 0,
        bytes: 0,
        meanRoundTripUs: 2_250,
        maxRoundTripUs: 0,
        combineMs: 0.5 * steps,
        scheduleMs: 1 * steps,
        assistMs: 5 * steps,
        assistedGroups: 8 * steps,
      },
    ],
  };
}

const span = (from: number, to: number) => ({ before: recordAfter(from), after: recordAfter(to) });

function flatten(part: Part): Record<string, number> {
  return Object.assign({ [part.name]: part.ms }, ...part.parts.map(flatten));
}

describe('profileSteps', () => {
  it('splits the mean step of all spans into parts that add up to it', () => {
    const { steps, layers, step, storeMs } = profileSteps([span(10, 30), span(100, 180)]);
    expect({ steps, layers, storeMs }).toEqual({ steps: 100, layers: LAYERS, storeMs: 4 });
    const expected = {
      step: 20,
      'between steps': 0.5,
      embed: 0.25,
      'all layers': 14,
      pre: 1,
      attention: 2,
      post: 1,
      exchange: 10,
      'choosing hosts': 1,
      'scheduling, grouping': 1,
      experts: 7.5,
      assisting: 5,
      waiting: 2.5,
      combining: 0.5,
      'LM head': 3,
      sampling: 1.5,
      'publishing events': 0.75,
    };
    const parts = flatten(step);
    expect(Object.keys(parts)).toEqual(Object.keys(expected));
    for (const [name, ms] of Object.entries(expected)) expect(parts[name], name).toBeCloseTo(ms, 9);
  });

  it('tells what each thread took per group of an expert', () => {
    const [instance, assistant] = profileSteps([span(0, 10)]).experts;
    expect(instance).toMatchObject({ groupsPerLayerStep: 3, usPerGroup: 500, msPerStep: 6 });
    expect(assistant).toMatchObject({ groupsPerLayerStep: 2, usPerGroup: 625, msPerStep: 5 });
  });

  it('refuses a host that did nothing, or has its experts elsewhere', () => {
    expect(() => profileSteps([span(10, 10)])).toThrow(/no step/);
    const apart = { before: { ...recordAfter(0), traffic: [] }, after: { ...recordAfter(10), traffic: [] } };
    expect(() => profileSteps([apart])).toThrow(/shared memory/);
  });
});
