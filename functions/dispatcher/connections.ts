import type { Redis } from 'ioredis';
import { DispatchError } from './errors.ts';

/** Connections on which a command may block, one command at a time each. */
export interface BlockingConnections {
  /**
   * Runs one blocking command on a connection that nobody else uses meanwhile.
   *
   * @throws {DispatchError} `busy` when too many wait for a connection already
   */
  readonly run: <T>(command: (connection: Redis) => Promise<T>) => Promise<T>;
  readonly close: () => void;
}

export interface ConnectionPoolLimits {
  /** Connections in all; they are opened as needed and kept. */
  readonly connections: number;
  /** Commands that may wait for a connection. */
  readonly waiting: number;
}

export const DEFAULT_CONNECTION_POOL_LIMITS: ConnectionPoolLimits = { connections: 512, waiting: 512 };

/**
 * Blocking connections of a long-lived process. A connection is held per command, not per request: a client that
 * reads slowly holds none. Where connections must not outlive a request (Cloudflare Workers), make one pool of one
 * connection per request and close it with the request.
 *
 * @param redis connected or connecting client whose options the connections copy
 */
export function createConnectionPool(
  redis: Redis,
  limits: ConnectionPoolLimits = DEFAULT_CONNECTION_POOL_LIMITS,
): BlockingConnections {
  const all = new Set<Redis>();
  const idle: Redis[] = [];
  const waiting: ((connection: Redis) => void)[] = [];

  const open = (): Redis => {
    // A blocked read outlives any number of reconnects; its reader has a deadline of its own.
    const connection = redis.duplicate({ maxRetriesPerRequest: null, lazyConnect: false });
    // The command that is under way carries the failure; without a listener ioredis would print it as well.
    connection.on('error', () => {});
    all.add(connection);
    return connection;
  };

  const take = (): Redis | Promise<Redis> => {
    const connection = idle.pop() ?? (all.size < limits.connections ? open() : undefined);
    if (connection !== undefined) return connection;
    if (waiting.length >= limits.waiting) {
      throw new DispatchError('busy', 'Too many requests wait for a connection to Redis');
    }
    return new Promise((resolve) => waiting.push(resolve));
  };

  const giveBack = (connection: Redis): void => {
    const next = waiting.shift();
    if (next === undefined) idle.push(connection);
    else next(connection);
  };

  return {
    async run(command) {
      const connection = await take();
      try {
        return await command(connection);
      } finally {
        giveBack(connection);
      }
    },
    close() {
      for (const connection of all) connection.disconnect();
      all.clear();
    },
  };
}
