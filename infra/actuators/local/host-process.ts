import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** What `janus host` prints when it serves. */
const READY = /^ready: host/;
/** `janus host` ends by itself within 45 s of SIGTERM; what does not hangs. */
const DRAIN_LIMIT_MS = 60_000;

/** How to start a host. */
export interface HostCommand {
  readonly program: string;
  readonly args: readonly string[];
  /** Default: that of this process. */
  readonly environment?: NodeJS.ProcessEnv;
}

export type HostState = 'starting' | 'ready' | 'draining' | 'ended';

export interface HostProcessEvents {
  /** It serves. */
  readonly ready: () => void;
  /** It ended. @param how its exit code, or the signal that ended it; @param asked it had been told to drain */
  readonly ended: (how: string, asked: boolean) => void;
  /** A line of its output. */
  readonly line: (line: string) => void;
}

/** One host in a process of its own. */
export class HostProcess {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #state: HostState = 'starting';
  #readyAtMs: number | null = null;
  #limit: NodeJS.Timeout | undefined;

  private constructor(child: ChildProcess, events: HostProcessEvents) {
    this.#child = child;
    for (const stream of [child.stdout!, child.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => {
        if (this.#state === 'starting' && READY.test(line)) this.#setReady(events);
        events.line(line);
      });
    }
    this.#ended = once(child, 'exit').then(
      ([code, signal]) => this.#end(String(code ?? signal), events),
      (error: Error) => this.#end(error.message, events),
    );
  }

  /**
   * A process group of its own, so that a Ctrl-C reaches the supervisor alone, which then lets hosts drain in order; a channel, by
   * which a host notices that its supervisor is gone.
   */
  static start(
    { program, args, environment: env = process.env }: HostCommand,
    events: HostProcessEvents,
  ): HostProcess {
    return new HostProcess(
      spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe', 'ipc'], detached: true }),
      events,
    );
  }

  /** Undefined where it could not be started. */
  get processId(): number | undefined {
    return this.#child.pid;
  }

  get state(): HostState {
    return this.#state;
  }

  /** How long it has served; 0 where it never did. */
  servedMs(nowMs: number): number {
    return this.#readyAtMs === null ? 0 : nowMs - this.#readyAtMs;
  }

  /** Lets it finish what it has, and ends it where it does not end by itself; resolves when it has ended. */
  async drain(): Promise<void> {
    if (this.#state === 'starting' || this.#state === 'ready') {
      this.#state = 'draining';
      this.#child.kill('SIGTERM');
      this.#limit = setTimeout(() => this.#child.kill('SIGKILL'), DRAIN_LIMIT_MS);
    }
    await this.#ended;
  }

  #setReady(events: HostProcessEvents): void {
    this.#state = 'ready';
    this.#readyAtMs = performance.now();
    events.ready();
  }

  #end(how: string, events: HostProcessEvents): void {
    clearTimeout(this.#limit);
    const asked = this.#state === 'draining';
    this.#state = 'ended';
    events.ended(how, asked);
  }
}
