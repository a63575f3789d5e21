import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { probeRedis } from '../../../infra/redis/probe-redis.ts';
import type { TestNode } from './nodes.ts';

const PORT = 6_379;
const START_LIMIT_MS = 10_000;
const STOP_LIMIT_MS = 3_000;
const POLL_MS = 10;
const PROBE_LIMIT_MS = 1_000;

/** A Redis server on a node. */
export interface NodeRedis {
  /** For programs on nodes. */
  readonly url: string;
  /** For this process: files belong to no network, so this door has no delay and needs no route to the node. */
  readonly socketPath: string;
  stop(): Promise<void>;
}

/** Starts `redis-server` on `node`, without persistence. @throws Error with its output when it does not start */
export async function startNodeRedis(node: TestNode): Promise<NodeRedis> {
  const socketPath = join(node.folder, `redis-${node.name}.sock`);
  const settings = ['--bind', node.address, '--port', String(PORT), '--unixsocket', socketPath];
  const kept = ['--save', '', '--appendonly', 'no', '--dir', node.folder, '--protected-mode', 'no'];
  const server = node.spawn(['redis-server', ...settings, ...kept]);
  let over = false;
  void server.ended.then(() => {
    over = true;
  });
  const deadlineMs = performance.now() + START_LIMIT_MS;
  while ((await probeRedis(socketPath, PROBE_LIMIT_MS)) !== undefined) {
    if (over || performance.now() > deadlineMs) {
      await server.kill();
      throw new Error(`redis-server on ${node.name} did not start:\n${server.output}`);
    }
    await sleep(POLL_MS);
  }
  return { url: `redis://${node.address}:${PORT}`, socketPath, stop: () => server.stop(STOP_LIMIT_MS) };
}
