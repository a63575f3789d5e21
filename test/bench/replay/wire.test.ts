import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { expect, it } from 'vitest';
import { openWire } from './wire.ts';

it('bytes arrive complete, in order and late, in both directions, and an end does too', async () => {
  const server = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const delayMs = 20;
  const wire = await openWire((server.address() as AddressInfo).port, delayMs);
  const socket = connect(wire.port, '127.0.0.1').setEncoding('utf8');
  const startedAtMs = performance.now();
  for (let part = 0; part < 100; part += 1) socket.write(`${part},`);
  let echoed = '';
  let firstAtMs = 0;
  for await (const text of socket) {
    firstAtMs ||= performance.now();
    echoed += text;
    if (echoed.endsWith('99,')) break;
  }
  expect(echoed).toBe(Array.from({ length: 100 }, (_, part) => `${part},`).join(''));
  // Timers may be early by the part of a millisecond in which they were set.
  expect(firstAtMs - startedAtMs).toBeGreaterThanOrEqual(2 * delayMs - 2);
  const cut = connect(wire.port, '127.0.0.1');
  await once(cut, 'connect');
  const [connections] = await new Promise<number[]>((resolve) =>
    server.getConnections((_, count) => resolve([count])),
  );
  expect(connections).toBeGreaterThan(0);
  await wire[Symbol.asyncDispose]();
  await once(cut, 'close');
  server.close();
  await once(server, 'close');
});
