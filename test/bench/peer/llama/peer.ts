import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { PeerAnswer, PeerCommandName, PeerCommands } from './protocol.ts';

/** A model needs seconds to load, a long prompt on a slow machine minutes. */
const ANSWER_LIMIT_MS = 20 * 60_000;

/** The peer in a process of its own. One command at a time. */
export class Peer {
  readonly #child: ChildProcess;
  #loadMs = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /**
   * Starts the process and loads a model.
   *
   * @param moduleUrl of the installed library
   * @param threads that compute
   */
  static async start(moduleUrl: string, modelPath: string, threads: number): Promise<Peer> {
    const startedAtMs = performance.now();
    const child = fork(new URL('./peer-process.ts', import.meta.url), { stdio: ['ignore', 2, 2, 'ipc'] });
    const peer = new Peer(child);
    try {
      await peer.tell('load', { moduleUrl, modelPath, threads });
    } catch (error) {
      await peer.stop();
      throw error;
    }
    peer.#loadMs = performance.now() - startedAtMs;
    return peer;
  }

  get processId(): number {
    return this.#child.pid!;
  }

  /** From the start of the process until the model was loaded. */
  get loadMs(): number {
    return this.#loadMs;
  }

  /** @throws Error with the stack of the other side when it fails, ends or does not answer in time */
  async tell<Name extends PeerCommandName>(
    name: Name,
    command: PeerCommands[Name]['command'],
  ): Promise<PeerCommands[Name]['result']> {
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, AbortSignal.timeout(ANSWER_LIMIT_MS)]);
    const ended = once(this.#child, 'exit', { signal }).then(([status, by]) => {
      throw new Error(`The peer's process ended with ${status ?? by} at ${name}.`);
    });
    // Only one of the two is waited for to its end.
    ended.catch(() => {});
    const answered = once(this.#child, 'message', { signal });
    answered.catch(() => {});
    try {
      this.#child.send({ name, ...command });
      const [answer] = (await Promise.race([answered, ended])) as [PeerAnswer];
      if ('error' in answer) throw new Error(`The peer failed at ${name}: ${answer.error}`);
      return answer.result as PeerCommands[Name]['result'];
    } finally {
      over.abort();
    }
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }
}
