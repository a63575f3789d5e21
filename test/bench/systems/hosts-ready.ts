import { setTimeout as sleep } from 'node:timers/promises';
import type { LocalActuator } from '../../../infra/actuators/local/local-actuator.ts';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import type { PoolSizes } from '../../../shared/scaling/solver.ts';

const START_LIMIT_MS = 60_000;
const POLL_MS = 100;

/**
 * Resolves when so many instances serve.
 *
 * @param lines what the hosts have said, for the error
 * @throws JanusError with the hosts' output when they are not ready in time
 */
export async function hostsReady(
  actuator: LocalActuator,
  sizes: PoolSizes,
  lines: readonly string[],
): Promise<void> {
  const untilMs = performance.now() + START_LIMIT_MS;
  while (actuator.ready.attention < sizes.attention || actuator.ready.experts < sizes.experts) {
    if (performance.now() > untilMs) {
      throw new JanusError(`The hosts were not ready in time:\n${lines.join('\n')}`);
    }
    await sleep(POLL_MS);
  }
}
