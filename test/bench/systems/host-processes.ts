import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Redis } from 'ioredis';
import { createDispatcher, type Dispatcher } from '../../../functions/dispatcher/dispatcher.ts';
import { createDoorbellStreams } from '../../../functions/dispatcher/doorbell-streams.ts';
import { connectRedis } from '../../../functions/redis-client.ts';
import { LocalActuator } from '../../../infra/actuators/local/local-actuator.ts';
import { type LocalRedis, startLocalRedis } from '../../../infra/redis/local-redis.ts';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import type { PoolSizes } from '../../../shared/scaling/solver.ts';
import { DICTIONARY_FOLDER, DICTIONARY_MODEL } from '../../support/test-host.ts';

const JANUS = fileURLToPath(new URL('../../../infra/cli/janus.ts', import.meta.url));
/** Lines of the hosts' output that are kept for an error. */
const LINES = 50;
const START_LIMIT_MS = 60_000;
const POLL_MS = 100;

export interface HostProcessesOptions {
  /** Of the client, among those of its Redis. */
  readonly name: string;
  /** Instances to begin with, and the most there will be. */
  readonly sizes: PoolSizes;
  readonly most: PoolSizes;
  /** Flags of `janus host` for one instance of a pool. @param expertInstances that there are to be */
  readonly flagsOf: (role: 'attention' | 'experts', expertInstances: number) => string[];
}

/** Real hosts of the shipped model on this machine, one process per instance, and a client of theirs. */
export class HostProcesses implements AsyncDisposable {
  readonly redis: Redis;
  readonly dispatcher: Dispatcher;
  readonly actuator: LocalActuator;
  readonly #server: LocalRedis;
  readonly #lines: string[] = [];

  private constructor(
    server: LocalRedis,
    redis: Redis,
    dispatcher: Dispatcher,
    { most, flagsOf }: HostProcessesOptions,
  ) {
    this.#server = server;
    this.redis = redis;
    this.dispatcher = dispatcher;
    const lines = this.#lines;
    this.actuator = new LocalActuator({
      model: DICTIONARY_MODEL,
      least: { attention: 1, experts: 1 },
      most,
      command: (role, { experts }) => ({
        program: process.execPath,
        args: [JANUS, 'host', '--model', DICTIONARY_FOLDER, '--role', role, ...flagsOf(role, experts)],
        environment: { ...process.env, REDIS_URL: server.url },
      }),
      log: (line) => {
        lines.push(line);
        lines.splice(0, lines.length - LINES);
      },
    });
  }

  /** Resolves when so many instances serve. @throws JanusError with the hosts' output when they do not in time */
  static async start(options: HostProcessesOptions): Promise<HostProcesses> {
    const server = await startLocalRedis();
    const redis = await connectRedis(server.url, () => {});
    const dispatcher = createDispatcher(redis, { streams: await createDoorbellStreams(redis, options.name) });
    const pool = new HostProcesses(server, redis, dispatcher, options);
    // However the benchmark ends, no host is left running.
    process.once('exit', pool.#kill);
    await pool.actuator.apply(DICTIONARY_MODEL, options.sizes);
    try {
      await pool.#ready(options.sizes);
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

  async #ready({ attention, experts }: PoolSizes): Promise<void> {
    const untilMs = performance.now() + START_LIMIT_MS;
    const { actuator } = this;
    while (actuator.ready.attention < attention || actuator.ready.experts < experts) {
      if (performance.now() > untilMs) {
        throw new JanusError(`The hosts were not ready in time:\n${this.#lines.join('\n')}`);
      }
      await sleep(POLL_MS);
    }
  }

  readonly #kill = (): void => {
    for (const id of this.actuator.processIds) process.kill(id, 'SIGKILL');
  };
}
