import { on, once } from 'node:events';

const ANSWER_LIMIT_MS = 60_000;

/** Makes Node listen for one, on a port of its own choice. */
export const INSPECTED = '--inspect=127.0.0.1:0';
/** Where it says that it does. */
export const INSPECTOR_URL = /^Debugger listening on (ws:\S+)/m;

interface Answer {
  readonly id?: number;
  readonly result?: { readonly result?: { readonly value?: unknown } };
  readonly error?: { readonly message: string };
}

/**
 * A look into another Node process through its inspector, which collects garbage first: what is left is what the process holds.
 * Its worker threads have heaps of their own, of which only the resident memory tells.
 */
export class Inspector {
  readonly #socket: WebSocket;
  #lastId = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  /** @throws AbortError when the process does not answer in time */
  static async connect(url: string): Promise<Inspector> {
    const socket = new WebSocket(url);
    await once(socket, 'open', { signal: AbortSignal.timeout(ANSWER_LIMIT_MS) });
    return new Inspector(socket);
  }

  /** @throws Error when the process refuses, AbortError when it does not answer in time */
  async memoryAfterCollection(): Promise<NodeJS.MemoryUsage> {
    await this.#tell('HeapProfiler.collectGarbage', {});
    const expression = 'JSON.stringify(process.memoryUsage())';
    const answer = await this.#tell('Runtime.evaluate', { expression, returnByValue: true });
    return JSON.parse(String(answer.result?.result?.value)) as NodeJS.MemoryUsage;
  }

  close(): void {
    this.#socket.close();
  }

  async #tell(method: string, params: Readonly<Record<string, unknown>>): Promise<Answer> {
    const id = ++this.#lastId;
    const messages = on(this.#socket, 'message', { signal: AbortSignal.timeout(ANSWER_LIMIT_MS) });
    this.#socket.send(JSON.stringify({ id, method, params }));
    for await (const [event] of messages) {
      const answer = JSON.parse(String((event as MessageEvent).data)) as Answer;
      if (answer.id !== id) continue;
      if (answer.error !== undefined)
        throw new Error(`The inspector refuses ${method}: ${answer.error.message}`);
      return answer;
    }
    throw new Error(`The inspector was closed at ${method}.`);
  }
}
