import { describe, expect, test } from 'vitest';
import { Lane, Outcome } from './lane.ts';
import type { LaneOptions } from './lane-layout.ts';

const options: LaneOptions = {
  shape: { maxRows: 4, hiddenSize: 3, expertsPerToken: 2 },
  instances: 2,
  placedInstances: 2,
  experts: 4,
};

/** A time in milliseconds, as versions are. */
const VERSION = Date.UTC(2100, 1);

/** The same lane as its sender and as its instances have it. */
function openBoth(): { sender: Lane; instance: Lane } {
  const sender = new Lane(options);
  return { sender, instance: new Lane(options, sender.memory) };
}

describe('a lane', () => {
  test('shows the step to the other threads in the same memory', () => {
    const { sender, instance } = openBoth();
    Object.assign(sender, { rows: 2, layer: 5, placementVersion: VERSION });
    sender.hidden.set([1, 2, 3, 4, 5, 6]);
    sender.expertIds.set([3, 1, 0, 2]);
    sender.gateWeights.set([0.5, 0.25]);
    sender.groups.groupPairs.set([7, 8]);
    expect(instance).toMatchObject({ rows: 2, layer: 5, placementVersion: VERSION });
    expect([...instance.hidden.subarray(3, 6)]).toEqual([4, 5, 6]);
    expect(instance.hiddenBytes.readFloatLE(20)).toBe(6);
    expect([...instance.expertIds.subarray(0, 4)]).toEqual([3, 1, 0, 2]);
    expect(instance.gateWeights[1]).toBe(0.25);
    expect(instance.groups.groupPairs[1]).toBe(8);
    instance.outputs.fill(1);
    expect(sender.outputs.every((value) => value === 1)).toBe(true);
    // Nothing overlaps: the step is as it was.
    expect(sender).toMatchObject({ rows: 2, layer: 5, placementVersion: VERSION });
    expect([...sender.hidden.subarray(0, 6)]).toEqual([1, 2, 3, 4, 5, 6]);
    expect(sender.owes(0)).toBe(false);
  });

  test('is owed a share from the request to the answer, by the instance that was asked only', () => {
    const { sender, instance } = openBoth();
    sender.ask(1, 1);
    expect([instance.owes(0), instance.owes(1), sender.anyOwed]).toEqual([false, true, true]);
    instance.answer(1, instance.request(1));
    expect([sender.owes(1), sender.anyOwed, sender.outcome(1)]).toEqual([false, false, Outcome.done]);
  });

  test('drops an answer that comes twice', () => {
    const { sender, instance } = openBoth();
    sender.ask(0, 1);
    const request = instance.request(0);
    instance.answer(0, request);
    expect([sender.owes(0), sender.outcome(0)]).toEqual([false, Outcome.done]);
    sender.ask(0, 1);
    instance.answer(0, request);
    expect(sender.owes(0)).toBe(true);
    instance.answer(0, instance.request(0));
    expect(sender.owes(0)).toBe(false);
    instance.answer(0, request);
    expect(sender.owes(0)).toBe(false);
  });

  test('asks and answers on while the request numbers wrap round', () => {
    const { sender, instance } = openBoth();
    // Requests and answers of each instance are 32-bit words behind the two lines of the head.
    const words = new Int32Array(sender.memory.memory as SharedArrayBuffer);
    words.fill(0x7fff_fffe, 32, 34);
    for (let i = 0; i < 4; i++) {
      sender.ask(0, 1);
      expect(instance.owes(0)).toBe(true);
      instance.answer(0, instance.request(0));
      expect(sender.owes(0)).toBe(false);
    }
    expect(instance.request(0)).toBe(-0x7fff_fffe);
  });

  test('does not wait for an instance that is forgiven', () => {
    const { sender, instance } = openBoth();
    sender.ask(0, 1);
    sender.forgive(0);
    expect(sender.owes(0)).toBe(false);
    sender.ask(0, 1);
    expect(instance.owes(0)).toBe(true);
  });

  test('keeps apart what two instances failed with', () => {
    const fail = (lane: Lane, index: number, message: string): void => {
      const request = lane.request(index);
      lane.takeGroup(index, request);
      lane.finishGroup(index, request, message);
    };
    const { sender, instance } = openBoth();
    sender.ask(0, 1);
    sender.ask(1, 1);
    fail(instance, 0, 'a longer message – with a dash');
    fail(instance, 1, 'short');
    expect([sender.failure(0), sender.failure(1)]).toEqual(['a longer message – with a dash', 'short']);
    expect(sender.outcome(1)).toBe(Outcome.failed);
    sender.ask(0, 1);
    fail(instance, 0, 'x'.repeat(10_000));
    expect(sender.failure(0)).toMatch(/^x{100,1000}$/);
    expect(sender.failure(1)).toBe('short');
  });

  test('tells which placement a refusing instance holds', () => {
    const { sender, instance } = openBoth();
    sender.ask(1, 1);
    instance.answerStale(1, instance.request(1), VERSION);
    expect([sender.outcome(1), sender.heldVersion(1)]).toEqual([Outcome.stale, VERSION]);
    expect(sender.owes(1)).toBe(false);
  });

  test('wakes its sender with the last share, not with each', () => {
    const { sender, instance } = openBoth();
    sender.ask(0, 1);
    sender.ask(1, 1);
    const seen = sender.wakeUps;
    instance.answer(0, instance.request(0));
    expect(sender.wakeUps).toBe(seen);
    instance.answer(1, instance.request(1));
    expect(sender.wakeUps).not.toBe(seen);
    // Both kinds of wait return at once when something happened since the sender looked.
    sender.wait(seen, 60_000);
    expect(sender.waitAsync(seen, 60_000)).toBeUndefined();
  });

  test('hands out each group of a share once, and answers with the last one', () => {
    const { sender, instance } = openBoth();
    sender.ask(0, 3);
    const request = sender.request(0);
    const taken = [sender.takeGroup(0, request), instance.takeGroup(0, request)];
    expect([...taken, sender.takeGroup(0, request), instance.takeGroup(0, request)]).toEqual([2, 1, 0, -1]);
    instance.finishGroup(0, request);
    sender.finishGroup(0, request);
    expect(sender.owes(0)).toBe(true);
    instance.finishGroup(0, request);
    expect([sender.owes(0), sender.outcome(0)]).toEqual([false, Outcome.done]);
    // Who comes late with the number of an old request gets nothing of the next, before it is asked and after.
    expect(instance.takeGroup(0, request)).toBe(-1);
    sender.ask(0, 2);
    expect(instance.takeGroup(0, request)).toBe(-1);
    expect(instance.takeGroup(0, instance.request(0))).toBe(1);
  });

  test('a share of which one group failed fails when its last group is done, with the first message', () => {
    const { sender, instance } = openBoth();
    sender.ask(1, 2);
    const request = instance.request(1);
    instance.takeGroup(1, request);
    sender.takeGroup(1, request);
    instance.finishGroup(1, request, 'no such expert');
    expect(sender.owes(1)).toBe(true);
    sender.finishGroup(1, request, 'neither');
    expect([sender.owes(1), sender.outcome(1), sender.failure(1)]).toEqual([
      false,
      Outcome.failed,
      'no such expert',
    ]);
    sender.ask(1, 1);
    sender.takeGroup(1, sender.request(1));
    sender.finishGroup(1, sender.request(1));
    expect(sender.outcome(1)).toBe(Outcome.done);
  });
});
