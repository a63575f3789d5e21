import { Redis } from 'ioredis';

/**
 * Connects once, asks for a PING and leaves.
 *
 * @param address a Redis URL or the path of a Unix socket
 * @returns why the server cannot be used, or undefined when it answers
 */
export async function probeRedis(address: string, timeoutMs: number): Promise<string | undefined> {
  const client = new Redis(address, {
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    // A server that does not close its end must not keep this process alive.
    disconnectTimeout: 0,
  });
  // The reason of a failure arrives as an event; what connect() throws says only that the connection is closed.
  let reason: string | undefined;
  client.on('error', (error: Error) => {
    reason = error.message;
  });
  const timeout = setTimeout(() => {
    reason ??= `no answer within ${timeoutMs} ms`;
    client.disconnect();
  }, timeoutMs);
  try {
    await client.connect();
    await client.ping();
    return undefined;
  } catch (error) {
    return reason ?? (error instanceof Error ? error.message : String(error));
  } finally {
    clearTimeout(timeout);
    client.disconnect();
  }
}
