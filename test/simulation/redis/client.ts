import { EventEmitter } from 'node:events';
import type { Redis } from 'ioredis';
import type { SimulatedProcess, World } from '../world.ts';
import type { RedisError, Reply } from './reply.ts';
import type { Connection, ConnectionEnd, SimulatedServer } from './server.ts';

export interface ClientOptions {
  /** As ioredis knows it: attempts to connect that a command survives; null: all. */
  readonly maxRetriesPerRequest: number | null;
}

interface Pending {
  readonly name: string;
  readonly args: readonly string[];
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
}

const LONGEST_RECONNECT_MS = 300;
const RECONNECT_STEP_MS = 50;

type Word = string | number;

/**
 * A client of the simulated server with the habits of ioredis that faults bring to light: commands wait while it connects anew,
 * and those that were sent and not answered are sent again, whether the server ran them or not.
 */
export class SimulatedClient extends EventEmitter implements ConnectionEnd {
  readonly process: SimulatedProcess;
  readonly #world: World;
  readonly #server: SimulatedServer;
  readonly #options: ClientOptions;
  readonly #channels = new Set<string>();
  #connection: Connection | null;
  #pending: Pending[] = [];
  #attempts = 0;
  #isClosed = false;

  constructor(world: World, server: SimulatedServer, process: SimulatedProcess, options: ClientOptions) {
    super();
    this.#world = world;
    this.#server = server;
    this.process = process;
    this.#options = options;
    this.#connection = server.connect(this);
    if (this.#connection === null) this.#reconnectLater();
  }

  /** The client as our code takes it: what is not a method of it is a command. */
  get redis(): Redis {
    return new Proxy<SimulatedClient>(this, COMMANDS_AS_METHODS) as unknown as Redis;
  }

  call(name: string, ...words: readonly Word[]): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const command = { name, args: words.map(String), resolve, reject };
      this.#pending.push(command);
      if (this.#connection !== null) this.#send(this.#connection, command);
    });
  }

  async hgetall(key: string): Promise<Record<string, string>> {
    const words = (await this.call('HGETALL', key)) as string[];
    const fields = words.filter((_, index) => index % 2 === 0);
    return Object.fromEntries(fields.map((field, index) => [field, words[2 * index + 1]!]));
  }

  async subscribe(...channels: string[]): Promise<Reply> {
    for (const channel of channels) this.#channels.add(channel);
    return this.call('SUBSCRIBE', ...channels);
  }

  pipeline(): SimulatedPipeline {
    return new SimulatedPipeline(this);
  }

  duplicate(options: ClientOptions = this.#options): Redis {
    return new SimulatedClient(this.#world, this.#server, this.process, options).redis;
  }

  disconnect(): void {
    this.#isClosed = true;
    if (this.#connection !== null) this.#server.close(this.#connection);
    this.#connection = null;
    this.#refuse('Connection is closed.');
  }

  onMessage(channel: string, message: string): void {
    this.emit('message', channel, message);
  }

  onLost(): void {
    if (this.#isClosed) return;
    this.#connection = null;
    this.#attempts = 0;
    this.emit('close');
    this.#reconnectLater();
  }

  #reconnectLater(): void {
    this.#attempts += 1;
    const delayMs = Math.min(this.#attempts * RECONNECT_STEP_MS, LONGEST_RECONNECT_MS);
    this.#world.after(delayMs, this.process, () => this.#reconnect());
  }

  #reconnect(): void {
    if (this.#isClosed) return;
    const connection = this.#server.connect(this);
    if (connection === null) {
      const { maxRetriesPerRequest } = this.#options;
      if (maxRetriesPerRequest !== null && this.#attempts % (maxRetriesPerRequest + 1) === 0) {
        this.#refuse(`Reached the max retries per request limit (which is ${maxRetriesPerRequest}).`);
      }
      this.#reconnectLater();
      return;
    }
    this.#connection = connection;
    if (this.#channels.size > 0) this.#server.send(connection, 'SUBSCRIBE', [...this.#channels], () => {});
    for (const command of this.#pending) this.#send(connection, command);
    this.emit('ready');
  }

  #send(connection: Connection, command: Pending): void {
    this.#server.send(connection, command.name, command.args, (reply) => {
      this.#pending = this.#pending.filter((other) => other !== command);
      if (reply instanceof Error) command.reject(reply satisfies RedisError);
      else command.resolve(reply);
    });
  }

  #refuse(message: string): void {
    const refused = this.#pending;
    this.#pending = [];
    for (const { reject } of refused) reject(new Error(message));
  }
}

/** Private fields are those of the client itself, so methods are bound to it. */
const COMMANDS_AS_METHODS: ProxyHandler<SimulatedClient> = {
  get(client, name) {
    const own: unknown = Reflect.get(client, name, client);
    if (typeof own === 'function') return own.bind(client);
    if (own !== undefined || typeof name !== 'string' || name === 'then') return own;
    return (...words: (Word | readonly Word[])[]) => client.call(name.toUpperCase(), ...words.flat());
  },
};

/** Commands that are sent together. */
class SimulatedPipeline {
  readonly #client: SimulatedClient;
  readonly #commands: (readonly [name: string, words: readonly Word[]])[] = [];

  constructor(client: SimulatedClient) {
    this.#client = client;
  }

  xadd = (...words: Word[]) => this.#add('XADD', words);
  publish = (...words: Word[]) => this.#add('PUBLISH', words);
  expire = (...words: Word[]) => this.#add('EXPIRE', words);

  async exec(): Promise<[Error | null, Reply][]> {
    const replies = this.#commands.map(([name, words]) => this.#client.call(name, ...words));
    const settled = await Promise.allSettled(replies);
    return settled.map((result) =>
      result.status === 'fulfilled' ? [null, result.value] : [result.reason as Error, null],
    );
  }

  #add(name: string, words: readonly Word[]): this {
    this.#commands.push([name, words]);
    return this;
  }
}
