import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { JanusError } from '../../shared/errors/janus-error.ts';
import installCommands from './install-commands.json' with { type: 'json' };
import { probeRedis } from './probe-redis.ts';

const START_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 3_000;
const POLL_INTERVAL_MS = 10;
const PROBE_TIMEOUT_MS = 1_000;
/** Another process may take the port between our choosing it and Redis binding it. */
const PORT_ATTEMPTS = 5;
/** The kernel's limit is 108 bytes on Linux and 104 on macOS, with a closing zero. */
const SOCKET_PATH_LIMIT_BYTES = 103;
/** What a shell answers for a program that is not on PATH. */
const EXIT_STATUS_NOT_FOUND = 127;

/** A Redis server that lives as long as this process, and keeps nothing. */
export interface LocalRedis {
  /** `redis://127.0.0.1:<port>`: for clients that need TCP, such as a Cloudflare Worker. */
  readonly url: string;
  /** The faster door, for processes on this machine. */
  readonly socketPath: string;
  /** Ends the server and removes its folder; safe to call twice. */
  stop(): Promise<void>;
}

/**
 * Runs the server, and ends it when the pipe on stdin closes. The kernel closes that pipe however this process ends,
 * after SIGKILL too, so neither a server is left behind nor its folder, which the shell then removes. Where the server ended by
 * itself the folder stays: the log says why.
 */
const SUPERVISOR = `
folder=$1; shift
exec 3<&0
"$@" 3<&- &
server=$!
{ read -r _ <&3; : >"$folder/closed"; kill "$server"; } &
lifeline=$!
wait "$server"; status=$?
kill "$lifeline" 2>/dev/null
if [ -e "$folder/closed" ]; then rm -rf "$folder"; fi
exit "$status"
`;

/**
 * Starts `redis-server` from PATH on 127.0.0.1 and on a Unix socket, without persistence.
 *
 * @param options.port by default a free one
 * @param options.directory where the server's private folder (socket, log) is made; by default the system's folder for
 *   temporary files
 * @throws {JanusError} when there is no redis-server, or it does not start
 */
export async function startLocalRedis(
  options: { directory?: string; port?: number } = {},
): Promise<LocalRedis> {
  const folder = await mkdtemp(join(options.directory ?? tmpdir(), 'janus-redis-'));
  const removeFolder = () => rm(folder, { recursive: true, force: true });
  try {
    const socketPath = join(folder, 'redis.sock');
    if (Buffer.byteLength(socketPath) > SOCKET_PATH_LIMIT_BYTES) {
      throw new JanusError(
        `${socketPath} is too long for a Unix socket: set TMPDIR to a folder with a short path.`,
      );
    }
    const { server, port } = await startOnPort(options.port, folder, socketPath);
    const stop = async () => {
      await endServer(server);
      await removeFolder();
    };
    return { url: `redis://127.0.0.1:${port}`, socketPath, stop };
  } catch (error) {
    await removeFolder();
    throw error;
  }
}

async function startOnPort(wanted: number | undefined, folder: string, socketPath: string) {
  const logPath = join(folder, 'redis.log');
  for (let attempt = 1; ; attempt++) {
    const port = wanted ?? (await findFreePort());
    const server = spawnServer({ folder, socketPath, logPath, port });
    if (await becomesReady(server, socketPath)) return { server, port };
    const log = (await readFile(logPath, 'utf8')).trim();
    await endServer(server);
    if (log.includes('Address already in use') && attempt < PORT_ATTEMPTS) continue;
    throw server.exitCode === EXIT_STATUS_NOT_FOUND
      ? notFound()
      : new JanusError(`redis-server failed:\n${log}`);
  }
}

function spawnServer(place: {
  folder: string;
  socketPath: string;
  logPath: string;
  port: number;
}): ChildProcess {
  const settings: Record<string, string> = {
    bind: '127.0.0.1',
    port: String(place.port),
    unixsocket: place.socketPath,
    unixsocketperm: '700',
    dir: place.folder,
    save: '',
    appendonly: 'no',
    // A queue whose keys are evicted loses requests; a full Redis must refuse them instead.
    'maxmemory-policy': 'noeviction',
  };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  const log = openSync(place.logPath, 'w');
  try {
    const server = spawn(
      '/bin/sh',
      ['-c', SUPERVISOR, 'janus-redis', place.folder, 'redis-server', ...args],
      {
        stdio: ['pipe', log, log],
        // In a session of its own, so that Ctrl-C reaches Janus only, which drains before it lets Redis go.
        detached: true,
      },
    );
    // A pipe to a server that has ended reports an error here, which its exit has told already.
    server.stdin?.on('error', () => {});
    server.unref();
    return server;
  } finally {
    closeSync(log);
  }
}

/** Resolves to false when the server ends or the time is up. */
async function becomesReady(server: ChildProcess, socketPath: string): Promise<boolean> {
  const deadlineMs = performance.now() + START_TIMEOUT_MS;
  while (server.exitCode === null && server.signalCode === null && performance.now() < deadlineMs) {
    // Another program may own the port: only our socket proves that it is our server that answers.
    if ((await probeRedis(socketPath, PROBE_TIMEOUT_MS)) === undefined) return true;
    await sleep(POLL_INTERVAL_MS);
  }
  return false;
}

async function endServer(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null || server.pid === undefined) return;
  const exit = once(server, 'exit');
  server.ref();
  server.stdin?.destroy();
  const pid = server.pid;
  // The shell leads a process group, which holds the server too.
  const force = setTimeout(() => process.kill(-pid, 'SIGKILL'), STOP_TIMEOUT_MS);
  await exit;
  clearTimeout(force);
}

/** Asks the kernel for a port that nobody uses. */
export async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

function notFound(): JanusError {
  const commands = Object.entries(installCommands).map(([system, command]) => `  ${system}: ${command}`);
  return new JanusError(
    `redis-server is not on PATH. Install it, or set REDIS_URL to a server that runs:\n${commands.join('\n')}`,
  );
}
