import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { TestNode } from './nodes.ts';

const PORT = 7_000;
const MESSAGE_BYTES = 64;
const WARM_UP = 200;
const LIMIT_MS = 30_000;
const SCRIPT = fileURLToPath(import.meta.url);

export interface RoundTrips {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Times round trips of small messages over one TCP connection between two nodes. */
export async function measureRoundTrips(from: TestNode, to: TestNode, count: number): Promise<RoundTrips> {
  const server = to.spawn([process.execPath, SCRIPT, 'echo', to.address]);
  try {
    await server.waitFor(/listening/, LIMIT_MS);
    const client = from.spawn([process.execPath, SCRIPT, 'ping', to.address, String(count)]);
    return JSON.parse((await client.waitFor(/\{.*\}/, LIMIT_MS))[0]) as RoundTrips;
  } finally {
    await server.kill();
  }
}

function echo(address: string): void {
  const server = createServer((socket) => {
    socket.setNoDelay(true);
    socket.pipe(socket);
  });
  server.listen(PORT, address, () => console.log('listening'));
}

async function ping(address: string, count: number): Promise<void> {
  const socket = connect(PORT, address);
  socket.setNoDelay(true);
  await once(socket, 'connect');
  const message = Buffer.alloc(MESSAGE_BYTES);
  const timesMs = new Float64Array(count);
  for (let i = -WARM_UP; i < count; i++) {
    const startedMs = performance.now();
    socket.write(message);
    // A message of this size arrives in one piece.
    await once(socket, 'data');
    if (i >= 0) timesMs[i] = performance.now() - startedMs;
  }
  socket.destroy();
  timesMs.sort();
  const quantile = (share: number): number => timesMs[Math.floor(count * share)]!;
  console.log(JSON.stringify({ p50Ms: quantile(0.5), p99Ms: quantile(0.99) }));
}

if (import.meta.main) {
  const [role, address, count] = process.argv.slice(2);
  if (role === 'echo') echo(address!);
  else await ping(address!, Number(count));
}
