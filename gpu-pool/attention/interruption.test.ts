import { expect, test } from 'vitest';
import {
  AnswerOverdueError,
  ExpertFailedError,
  isInterruption,
  PeerLostError,
  RoundInterruptedError,
  StalePlacementError,
} from '../exchange/link.ts';
import { HelperLostError } from '../team/team-board.ts';
import { INTERRUPTION_LIMIT_MS, Interruption, interruptionOf, isBehind, lossOf } from './interruption.ts';

const behind = new StalePlacementError('a', 7, 6);
const lost = new PeerLostError('a', 'unplugged', 'host');

test('pauses a little longer each time for a host that is behind, and gives up after a bound', () => {
  const interruption = new Interruption();
  const pauses = Array.from({ length: 20 }, (_, i) => interruption.pauseAfter(behind, i)!);
  expect(pauses[0]).toBeLessThan(5);
  expect(pauses.every((pause, i) => i === 0 || pause >= pauses[i - 1]!)).toBe(true);
  expect(pauses.at(-1)).toBeLessThanOrEqual(50);
  expect(interruption.pauseAfter(lost, INTERRUPTION_LIMIT_MS)).not.toBeNull();
  expect(interruption.pauseAfter(lost, INTERRUPTION_LIMIT_MS + 1)).toBeNull();
  interruption.end();
  expect(interruption.pauseAfter(behind, INTERRUPTION_LIMIT_MS + 1)).toBe(pauses[0]);
});

test('tells who is lost only where that is certain', () => {
  expect(lossOf(lost)).toEqual({ host: 'a', instance: null });
  expect(lossOf(new PeerLostError('a', 'instance 3 has ended', 3))).toEqual({ host: 'a', instance: 3 });
  expect(lossOf(new PeerLostError('a', 'Redis did not answer'))).toBeNull();
  expect(lossOf(new AnswerOverdueError('a', 9))).toEqual({ host: 'a', instance: null });
  expect(lossOf(behind)).toBeNull();
});

test('knows what the same step may outlive, and what only has to be sent again', () => {
  const ahead = new StalePlacementError('a', 6, 7);
  const round = new RoundInterruptedError('this host', 'its leader was');
  const failed = new ExpertFailedError('a', 'out of order');
  expect([lost, behind, ahead, round, failed].map(isInterruption)).toEqual([true, true, true, true, false]);
  expect([lost, behind, ahead, round].map(isBehind)).toEqual([false, true, false, true]);
});

test('takes a step up again that a helping thread took a part of and ended', () => {
  const again = interruptionOf(new HelperLostError('a thread has ended'))!;
  expect(again.message).toBe('a thread has ended');
  expect([isBehind(again), lossOf(again)]).toEqual([true, null]);
  expect(interruptionOf(lost)).toBe(lost);
  expect(interruptionOf(new ExpertFailedError('a', 'out of order'))).toBeNull();
});
