import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createNodes, nodesUnavailable } from './nodes.ts';
import { measureRoundTrips } from './round-trips.ts';

const unavailable = nodesUnavailable();
const title = `nodes${unavailable === undefined ? '' : ` (skipped: ${unavailable})`}`;

describe.skipIf(unavailable !== undefined)(title, () => {
  it('reach each other at their addresses, and leave nothing behind', async () => {
    const network = await createNodes(3);
    const [first, , last] = network.nodes;
    const { p50Ms } = await measureRoundTrips(first!, last!, 100);
    expect(p50Ms).toBeGreaterThan(0);
    const stays = first!.spawn(['sleep', '60']);
    await network.close();
    expect(await stays.ended).toBeNull();
    expect(existsSync(first!.folder)).toBe(false);
  });

  it('reach nothing else', async () => {
    const network = await createNodes(2);
    const probe = network.nodes[0]!.spawn(['ip', 'route', 'get', '192.0.2.1']);
    expect(await probe.ended).not.toBe(0);
    expect(probe.output).toContain('unreachable');
    await network.close();
  });

  it('are as far apart as was asked for', async ({ skip }) => {
    const network = await createNodes(2, { delayMs: 2 }).catch((error: Error) => skip(error.message));
    const { p50Ms } = await measureRoundTrips(network.nodes[0]!, network.nodes[1]!, 100);
    await network.close();
    expect(network.delayMethod).not.toBe('none');
    expect(p50Ms).toBeGreaterThan(3.6);
    expect(p50Ms).toBeLessThan(10);
  });
});
