import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { JanusError } from '../../shared/errors/janus-error.ts';
import type { HostRecord, InstanceState } from '../../shared/protocol/member.ts';

export const LIVE_PATH = '/health';
export const READY_PATH = '/ready';
/** Whoever probes asks in one short line. */
const LONGEST_REQUEST_MS = 5_000;
const MOST_HEADER_BYTES = 4_096;
const MOST_CONNECTIONS = 16;

/** Answers those who watch a host's process. */
export interface HostProbe {
  readonly port: number;
  /** From now on the host is ready when its instances are. @param record the host's, as it is at that moment */
  watch(record: () => Pick<HostRecord, 'attention' | 'experts'>): void;
  /** From now on it is not ready any more, however its instances are. */
  drain(): void;
  close(): Promise<void>;
}

/**
 * Answers `/health` with 200 while the host's own thread turns and not all of its instances have ended, and `/ready` with 200
 * while all of them serve; otherwise with 503 and the instances' states. Its thread asks nobody for that, so that it stays cheap.
 *
 * @param port 0 takes a free one
 * @throws JanusError when the port cannot be had
 */
export async function startHostProbe(port: number): Promise<HostProbe> {
  let phase: 'starting' | 'watching' | 'draining' = 'starting';
  let states = (): InstanceState[] => [];
  const server = createServer({ requestTimeout: LONGEST_REQUEST_MS, maxHeaderSize: MOST_HEADER_BYTES });
  server.maxConnections = MOST_CONNECTIONS;
  server.on('request', ({ url }, response) => {
    const held = states();
    const answers: Readonly<Record<string, boolean>> = {
      [LIVE_PATH]: held.length === 0 || held.some((state) => state !== 'gone'),
      [READY_PATH]: phase === 'watching' && held.length > 0 && held.every((state) => state === 'ready'),
    };
    const good = Object.hasOwn(answers, url ?? '') ? answers[url!] : undefined;
    response.writeHead(good === undefined ? 404 : good ? 200 : 503, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify({ phase, instances: held }));
  });
  return {
    port: await listen(server, port),
    watch(record) {
      phase = 'watching';
      states = () => {
        const { attention, experts } = record();
        return [...attention, ...experts].map(({ state }) => state);
      };
    },
    drain() {
      phase = 'draining';
    },
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** On all interfaces: whoever probes a container asks it at its own address. */
async function listen(server: Server, port: number): Promise<number> {
  server.listen(port);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new JanusError(
      `--probe-port is ${port}, which cannot be had (${(error as Error).message}): choose another one.`,
      { cause: error },
    );
  }
  return (server.address() as AddressInfo).port;
}
