import type { Context } from 'hono';
import type { PoolReader, PoolStatus } from '../../dispatcher/pool-reader.ts';
import type { GatewayDependencies, GatewayEnvironment } from '../dependencies.ts';
import { EXPOSITION_CONTENT_TYPE, exposition, type MetricFamily } from '../metrics/exposition.ts';
import { poolFamilies } from '../metrics/pool-metrics.ts';

const readFamily = (read: boolean): MetricFamily => ({
  name: 'janus:pool_read_success',
  help: 'Whether Redis told of the pools; 0 leaves out everything about them.',
  type: 'gauge',
  samples: [{ labels: [], value: read ? 1 : 0 }],
});

/**
 * `GET /metrics`: what this process counted of its requests and of the lines of batches, and what the pools tell of themselves.
 * While Redis is away the former is told all the same.
 */
export function metrics({ metrics: requests, batches, pools, clock, report }: GatewayDependencies) {
  const read = async (reader: PoolReader, requestId: string): Promise<readonly PoolStatus[] | null> => {
    try {
      return await reader.read();
    } catch (error) {
      report(error, requestId);
      return null;
    }
  };

  return async (c: Context<GatewayEnvironment>) => {
    const families = [...requests.families(), ...(batches?.metrics.families() ?? [])];
    if (pools !== null) {
      const status = await read(pools, c.get('requestId'));
      families.push(readFamily(status !== null), ...poolFamilies(status ?? [], clock.nowMs()));
    }
    return c.body(exposition(families), 200, { 'Content-Type': EXPOSITION_CONTENT_TYPE });
  };
}
