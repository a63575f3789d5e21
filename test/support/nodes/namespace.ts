import { type ChildProcess, type ChildProcessByStdio, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';

/**
 * Brings loopback up, tells so, and then does nothing until its standard input closes. The kernel closes that however the
 * process at its other end dies; without a process in it the namespace ends, and with it all interfaces. Then it removes the
 * folder, if that is still there, when those that wrote into it are dead too.
 */
const HOLDER = `
for scope in all default; do echo 1 > /proc/sys/net/ipv6/conf/$scope/disable_ipv6; done 2>/dev/null
ip link set lo up && echo ready && read -r _
[ ! -d "$1" ] || { sleep 0.2; rm -rf -- "$1"; }
`;

/** A network namespace without a name, which ends with this process, even where that is killed. */
export class Namespace {
  readonly #holder: ChildProcessByStdio<Writable, Readable, null>;

  private constructor(holder: ChildProcessByStdio<Writable, Readable, null>) {
    this.#holder = holder;
  }

  /**
   * @param folder removed after the namespace has ended
   * @throws Error where this process may not make one
   */
  static async create(folder = ''): Promise<Namespace> {
    // In a session of its own, so that a Ctrl-C ends it by way of this process and the folder is still removed.
    const holder = spawn('unshare', ['--net', 'sh', '-c', HOLDER, 'janus-node', folder], {
      detached: true,
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const started = await Promise.race([
      once(holder.stdout, 'data').then(() => true),
      once(holder, 'close').then(() => false),
    ]);
    if (!started) throw new Error('unshare --net cannot make a network namespace: it needs root on Linux.');
    return new Namespace(holder);
  }

  /** Id of the process that keeps the namespace; `ip link set … netns <id>` takes it. */
  get id(): number {
    return this.#holder.pid!;
  }

  /** Runs `ip` commands, one a line, in the namespace. @throws Error with what ip says */
  async ip(commands: readonly string[]): Promise<void> {
    const running = this.spawn(['ip', '-batch', '-'], { stdio: ['pipe', 'ignore', 'pipe'] });
    let message = '';
    running.stderr!.setEncoding('utf8').on('data', (text: string) => {
      message += text;
    });
    running.stdin!.end(`${commands.join('\n')}\n`);
    const [status] = await once(running, 'close');
    if (status !== 0) throw new Error(`ip in a namespace: ${message.trim()}`);
  }

  /** Runs a program in the namespace to its end. @throws Error with its output when it fails */
  async run(program: string, args: readonly string[]): Promise<string> {
    return (await promisify(execFile)('nsenter', [...this.#entry(), program, ...args])).stdout;
  }

  /** Starts a program in the namespace. The kernel kills it when this process ends. */
  spawn(argv: readonly string[], options: Parameters<typeof spawn>[2]): ChildProcess {
    return spawn('nsenter', [...this.#entry(), 'setpriv', '--pdeathsig', 'KILL', ...argv], {
      detached: true,
      ...options,
    });
  }

  #entry(): string[] {
    return [`--net=/proc/${this.id}/ns/net`];
  }

  /** Ends the namespace. Programs that still run in it keep it alive, so they are to be ended before. */
  async close(): Promise<void> {
    const ended = once(this.#holder, 'close');
    this.#holder.stdin.end();
    await ended;
  }
}
