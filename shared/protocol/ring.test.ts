import { expect, test } from 'vitest';
import { type Ring, readRings, ringMessage } from './ring.ts';

test('a message tells each ring as it was written', () => {
  const token = { kind: 'token', choice: 0, position: 3, id: 7, text: '"],[\n' } as const;
  const rings: Ring[] = [
    { requestId: 'a', beforeId: '', events: [{ kind: 'started', choice: 0, promptTokens: 2 }, token] },
    { requestId: 'batch_b-2', beforeId: '1700000000000-1', events: [token] },
  ];
  const heard: Ring[] = [];
  readRings(
    ringMessage(
      rings.map((ring) => ({ ...ring, events: ring.events.map((event) => JSON.stringify(event)) })),
    ),
    (requestId, beforeId, events) => heard.push({ requestId, beforeId, events }),
  );
  expect(heard).toEqual(rings);
});
