import { fileURLToPath } from 'node:url';
import type { Redis } from 'ioredis';
import { createDispatcher, type Dispatcher } from '../../../functions/dispatcher/dispatcher.ts';
import { createDoorbellStreams } from '../../../functions/dispatcher/doorbell-streams.ts';
import { connectRedis } from '../../../functions/redis-client.ts';
import { LocalActuator } from '../../../infra/actuators/local/local-actuator.ts';
import { findFreePort, type LocalRedis, startLocalRedis } from '../../../infra/redis/local-redis.ts';
import type { PoolSizes } from '../../../shared/scaling/solver.ts';
import { DICTIONARY_FOLDER, DICTIONARY_MODEL } from '../../support/test-host.ts';
import { hostsReady } from '../systems/hosts-ready.ts';
import { openWire, type Wire } from './wire.ts';

const JANUS = fileURLToPath(new URL('../../../infra/cli/janus.ts', import.meta.url));
/** Lines of the hosts' output that are kept for an error. */
const LINES = 50;

/** Sequences that an attention instance has memory for, and experts that an expert instance has: all. */
export const SEQUENCES_PER_ATTENTION = 4;
const EXPERT_SLOTS = 32;
/**
 * Each way between the pools takes so long. It stands for instances with a device and a network each: processors that compute all the
 * time gain little from more instances, so that a day on two of them would not show what instances are for.
 */
export const WIRE_MS = 2;

interface PoolParts {
  readonly server: LocalRedis;
  readonly redis: Redis;
  readonly dispatcher: Dispatcher;
  readonly expertPort: number;
  readonly wire: Wire;
}

/** Real hosts of the shipped model on this machine, one process per instance, and a client of theirs. There is one expert host. */
export class ReplayPool implements AsyncDisposable {
  readonly redis: Redis;
  readonly dispatcher: Dispatcher;
  readonly actuator: LocalActuator;
  readonly #parts: PoolParts;
  readonly #lines: string[];

  private constructor(parts: PoolParts, most: PoolSizes) {
    this.#parts = parts;
    this.redis = parts.redis;
    this.dispatcher = parts.dispatcher;
    const lines: string[] = [];
    this.#lines = lines;
    this.actuator = new LocalActuator({
      model: DICTIONARY_MODEL,
      least: { attention: 1, experts: 1 },
      most,
      command: (role) => ({
        program: process.execPath,
        args: [JANUS, 'host', '--model', DICTIONARY_FOLDER, ...roleFlags(role, parts)],
        environment: { ...process.env, REDIS_URL: parts.server.url },
      }),
      log: (line) => {
        lines.push(line);
        lines.splice(0, lines.length - LINES);
      },
    });
  }

  /** Resolves when so many instances serve. @throws JanusError with the hosts' output when they do not in time */
  static async start(sizes: PoolSizes, most: PoolSizes): Promise<ReplayPool> {
    const server = await startLocalRedis();
    const redis = await connectRedis(server.url, () => {});
    const dispatcher = createDispatcher(redis, { streams: await createDoorbellStreams(redis, 'replay') });
    const expertPort = await findFreePort();
    const wire = await openWire(expertPort, WIRE_MS);
    const pool = new ReplayPool({ server, redis, dispatcher, expertPort, wire }, most);
    // However the benchmark ends, no host is left running.
    process.once('exit', pool.#kill);
    await pool.actuator.apply(DICTIONARY_MODEL, sizes);
    try {
      await hostsReady(pool.actuator, sizes, pool.#lines);
    } catch (error) {
      await pool[Symbol.asyncDispose]();
      throw error;
    }
    return pool;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.off('exit', this.#kill);
    await this.actuator.close();
    await this.dispatcher.close();
    this.redis.disconnect();
    await this.#parts.wire[Symbol.asyncDispose]();
    await this.#parts.server.stop();
  }

  readonly #kill = (): void => {
    for (const id of this.actuator.processIds) process.kill(id, 'SIGKILL');
  };
}

/** As on two nodes: on one the hosts would take a way that is no wire. */
const roleFlags = (role: 'attention' | 'experts', { expertPort, wire }: PoolParts): string[] =>
  role === 'experts'
    ? [
        ...['--role', 'experts', '--experts', '1', '--slots', String(EXPERT_SLOTS), '--node', 'experts'],
        ...['--exchange-port', String(expertPort), '--exchange-advertise', `127.0.0.1:${wire.port}`],
      ]
    : [
        ...['--role', 'attention', '--attention', '1', '--expert-instances', '1', '--node', 'attention'],
        ...['--exchange', 'socket', '--kv-slots', String(SEQUENCES_PER_ATTENTION)],
      ];
