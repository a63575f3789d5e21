import { expect, test } from 'vitest';
import { EngineBed } from '../../test/support/attention/engine-bed.ts';
import { ExpertFailedError, PeerLostError } from '../exchange/link.ts';

const lost = new PeerLostError('a', 'unplugged', 'host');
const prompt = (seed: number): number[] =>
  Array.from({ length: 20 }, (_, i) => 5 + ((seed * 31 + i * 7) % 900));

/** Two sequences of an engine, which has computed some of their tokens. */
async function begin(survivesInterruptions: boolean) {
  const bed = new EngineBed({ prefixBytes: 2 ** 20, survivesInterruptions });
  const requests = [1, 2].map((seed) => bed.submit(prompt(seed), 6));
  await bed.engine.step();
  await bed.engine.step();
  return { bed, requests };
}

test('a step that is interrupted in its last layer is computed again, and no token is other than ever', async () => {
  const { bed, requests } = await begin(true);
  const undisturbed = await begin(true);
  bed.exchange.failures.push(lost, lost, lost);
  for (let i = 0; i < 3; i++) expect(await bed.engine.step()).toBe(lost);
  // Others may join the batch meanwhile.
  const late = bed.submit(prompt(3), 6);
  const lateUndisturbed = undisturbed.bed.submit(prompt(3), 6);
  expect(await bed.engine.step()).toBeUndefined();
  await bed.drain();
  await undisturbed.bed.drain();
  for (const [index, request] of [...requests, late].entries()) {
    const other = [...undisturbed.requests, lateUndisturbed][index]!;
    expect(bed.answer(request)).toHaveLength(6);
    expect(bed.answer(request)).toEqual(undisturbed.bed.answer(other));
  }
});

test('its sequences fail when they are given up, when the expert itself failed, or where they do not survive it', async () => {
  const given = await begin(true);
  given.bed.exchange.failures.push(lost);
  given.bed.engine.giveUp((await given.bed.engine.step())!);
  const failed = await begin(true);
  failed.bed.exchange.failures.push(new ExpertFailedError('a', 'out of order'));
  expect(await failed.bed.engine.step()).toBeUndefined();
  const mortal = await begin(false);
  mortal.bed.exchange.failures.push(lost);
  expect(await mortal.bed.engine.step()).toBeUndefined();
  for (const { bed, requests } of [given, failed, mortal]) {
    expect(bed.engine.idle).toBe(true);
    for (const request of requests) {
      expect(bed.lastEvent(request)).toMatchObject({ kind: 'failed', error: { status: 503 } });
    }
  }
});
