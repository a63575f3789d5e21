import { findFreePort } from '../../../infra/redis/local-redis.ts';
import type { PoolSizes } from '../../../shared/scaling/solver.ts';
import { HostProcesses } from '../systems/host-processes.ts';
import { openWire } from './wire.ts';

/** Sequences that an attention instance has memory for, and experts that an expert instance has: all. */
export const SEQUENCES_PER_ATTENTION = 4;
const EXPERT_SLOTS = 32;
/**
 * Each way between the pools takes so long. It stands for instances with a device and a network each: processors that compute all the
 * time gain little from more instances, so that a day on two of them would not show what instances are for. With a quarter of it, five
 * attention instances take all of two processors of 2021, and more make less.
 */
export const WIRE_MS = 8;

/**
 * Starts hosts as on two nodes, with one expert host: on one node they would take a way that is no wire.
 *
 * @param parts ends them
 * @throws JanusError with the hosts' output when they do not serve in time
 */
export async function startReplayPool(
  sizes: PoolSizes,
  most: PoolSizes,
  parts: AsyncDisposableStack,
): Promise<HostProcesses> {
  const expertPort = await findFreePort();
  const wire = parts.use(await openWire(expertPort, WIRE_MS));
  const flags = {
    experts: [
      ...['--experts', '1', '--slots', String(EXPERT_SLOTS), '--node', 'experts'],
      ...['--exchange-port', String(expertPort), '--exchange-advertise', `127.0.0.1:${wire.port}`],
    ],
    attention: [
      ...['--attention', '1', '--expert-instances', '1', '--node', 'attention'],
      ...['--exchange', 'socket', '--kv-slots', String(SEQUENCES_PER_ATTENTION)],
    ],
  };
  return parts.use(
    await HostProcesses.start({ name: 'replay', sizes, most, flagsOf: (role) => flags[role] }),
  );
}
