import { fileURLToPath } from 'node:url';
import type { Redis } from 'ioredis';
import { createDispatcher, type Dispatcher } from '../../../functions/dispatcher/dispatcher.ts';
import { createDoorbellStreams } from '../../../functions/dispatcher/doorbell-streams.ts';
import { connectRedis } from '../../../functions/redis-client.ts';
import { LocalActuator } from '../../../infra/actuators/local/local-actuator.ts';
import { type LocalRedis, startLocalRedis } from '../../../infra/redis/local-redis.ts';
import type { PoolSizes } from '../../../shared/scaling/solver.ts';
import { DICTIONARY_FOLDER, DICTIONARY_MODEL } from '../../support/test-host.ts';
import { hostsReady } from '../systems/hosts-ready.ts';

const JANUS = fileURLToPath(new URL('../../../infra/cli/janus.ts', import.meta.url));
/** Lines of the hosts' output that are kept for an error. */
const LINES = 50;

/** Sequences that an attention instance holds, and replica slots of an expert instance: all experts. */
export const SEQUENCES_PER_ATTENTION = 16;
export const CAPACITY = 32;

/** Real hosts of the shipped model on this machine, one process per instance, and a client of theirs. */
export class HostProcesses implements AsyncDisposable {
  readonly redis: Redis;
  readonly dispatcher: Dispatcher;
  readonly actuator: LocalActuator;
  readonly #server: LocalRedis;
  readonly #lines: string[];

  private constructor(server: LocalRedis, redis: Redis, dispatcher: Dispatcher, most: PoolSizes) {
    this.#server = server;
    this.redis = redis;
    this.dispatcher = dispatcher;
    const lines: string[] = [];
    this.#lines = lines;
    this.actuator = new LocalActuator({
      model: DICTIONARY_MODEL,
      least: { attention: 1, experts: 1 },
      most,
      command: (role, { experts }) => ({
        program: process.execPath,
        args: [JANUS, 'host', '--model', DICTIONARY_FOLDER, ...roleFlags(role, experts)],
        environment: { ...process.env, REDIS_URL: server.url },
      }),
      log: (line) => {
        lines.push(line);
        lines.splice(0, lines.length - LINES);
      },
    });
  }

  /** Resolves when so many instances serve. @throws JanusError with the hosts' output when they do not in time */
  static async start(sizes: PoolSizes): Promise<HostProcesses> {
    const server = await startLocalRedis();
    const redis = await connectRedis(server.url, () => {});
    const dispatcher = createDispatcher(redis, { streams: await createDoorbellStreams(redis, 'model-fit') });
    const pool = new HostProcesses(server, redis, dispatcher, sizes);
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
    await this.#server.stop();
  }

  readonly #kill = (): void => {
    for (const id of this.actuator.processIds) process.kill(id, 'SIGKILL');
  };
}

const roleFlags = (role: 'attention' | 'experts', experts: number): string[] =>
  role === 'experts'
    ? ['--role', 'experts', '--experts', '1', '--slots', String(CAPACITY)]
    : [
        ...['--role', 'attention', '--attention', '1', '--expert-instances', String(experts)],
        ...['--kv-slots', String(SEQUENCES_PER_ATTENTION)],
      ];
