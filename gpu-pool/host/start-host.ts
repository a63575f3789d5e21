import { Host, type HostEvents } from './host.ts';
import type { HostOptions } from './host-options.ts';
import { startAttention } from './start-attention.ts';
import { startBoth } from './start-both.ts';
import { startExperts } from './start-experts.ts';
import { serveTokenizations } from './tokenization/serve-tokenizations.ts';

/**
 * Starts one host process in its role. For `both` and `attention` it resolves when the host takes requests, for `experts` when
 * it offers its instances.
 *
 * @throws JanusError naming the option, file, field or tensor that is wrong
 */
export async function startHost(options: HostOptions, events: HostEvents): Promise<Host> {
  const host = await Host.open(options, events);
  try {
    if (options.role === 'both') await startBoth(host);
    else if (options.role === 'experts') await startExperts(host);
    else await startAttention(host);
    if (options.role !== 'experts') serveTokenizations(host);
  } catch (error) {
    await host.close();
    throw error;
  }
  return host;
}
