import type { SimulatedProcess, World } from '../world.ts';
import { runCommand } from './commands.ts';
import { RedisError, type Reply } from './reply.ts';
import { RedisStore } from './store.ts';

/** As with `appendfsync everysec`: what was written since may be lost with the machine. */
const SYNC_INTERVAL_MS = 1_000;
/** How long bytes take between a process and the server. */
const LEAST_LATENCY_MS = 0.2;
const MOST_LATENCY_MS = 2;
/** How often a command that waits for entries looks for them. */
const BLOCKED_LOOK_MS = 50;
/** Keeps bytes of one connection apart, so that they arrive in order. */
const GAP_MS = 0.001;

/** The client's end of a connection. */
export interface ConnectionEnd {
  readonly process: SimulatedProcess;
  onLost(): void;
  onMessage(channel: string, message: string): void;
}

/** A stream of bytes in either direction, in order: it stalls, or ends and takes along what is on its way. */
export class Connection {
  readonly end: ConnectionEnd;
  readonly channels = new Set<string>();
  isOpen = true;
  toServerAtMs = 0;
  toClientAtMs = 0;

  constructor(end: ConnectionEnd) {
    this.end = end;
  }
}

export interface ServerFaults {
  /** Process → until when nothing goes between it and the server. */
  readonly stalledUntilMs: Map<string, number>;
  /** Until when the server answers slowly, and how slowly. */
  slowUntilMs: number;
  slowMs: number;
}

/** Replaces the text of a script by that of a wrong one. */
export type ScriptMutation = (script: string) => string;

/** A Redis server that keeps to the order of what arrives, may be away, and may lose what it wrote last. */
export class SimulatedServer {
  readonly store = new RedisStore();
  readonly faults: ServerFaults = { stalledUntilMs: new Map(), slowUntilMs: 0, slowMs: 0 };
  isUp = true;
  /** Whether anything that was written has ever been lost. */
  hasLost = false;
  /** Told of every message that is published. */
  onPublish: (channel: string) => void = () => {};
  readonly #world: World;
  readonly #connections = new Set<Connection>();
  readonly #mutate: ScriptMutation;
  #syncedAtMs = 0;

  constructor(world: World, mutate: ScriptMutation = (script) => script) {
    this.#world = world;
    this.#mutate = mutate;
  }

  /** @returns null where the server cannot be reached */
  connect(end: ConnectionEnd): Connection | null {
    if (!this.isUp || this.#stalledMs(end.process) > 0) return null;
    const connection = new Connection(end);
    this.#connections.add(connection);
    return connection;
  }

  /** Sends a command; `take` is called with its reply, unless the connection ends before. */
  send(
    connection: Connection,
    name: string,
    args: readonly string[],
    take: (reply: Reply | RedisError) => void,
  ): void {
    const world = this.#world;
    const atMs = Math.max(connection.toServerAtMs + GAP_MS, world.nowMs + this.#latencyMs(connection));
    connection.toServerAtMs = atMs;
    // What was sent before a client ended still arrives.
    world.at(atMs, world.outside, () => this.#run(connection, name, args, take, atMs + blockMs(name, args)));
  }

  /** Runs a command at once. */
  execute(name: string, args: readonly string[], connection?: Connection): Reply | RedisError {
    this.#sync();
    if (name === 'SUBSCRIBE') {
      for (const channel of args) connection!.channels.add(channel);
      return args.length;
    }
    const { store } = this;
    const context = { store, nowMs: this.#world.nowMs, publish: this.#publish };
    const words = name === 'EVAL' ? [this.#mutate(args[0]!), ...args.slice(1)] : args;
    try {
      return runCommand(context, name, words);
    } catch (error) {
      if (error instanceof RedisError) return error;
      throw error;
    }
  }

  /** The client ends its connection; what it has sent still arrives. */
  close(connection: Connection): void {
    connection.isOpen = false;
    connection.channels.clear();
  }

  /** Ends the connections of a process, or of all, with what is on its way. */
  reset(process: SimulatedProcess | null): void {
    for (const connection of this.#connections) {
      if (process !== null && connection.end.process !== process) continue;
      this.#connections.delete(connection);
      if (!connection.isOpen) continue;
      connection.isOpen = false;
      this.#world.after(0, connection.end.process, () => connection.end.onLost());
    }
  }

  /** Takes the server away; with `loses`, also what it wrote since it last made sure of it. */
  crash(loses: boolean): void {
    this.isUp = false;
    this.reset(null);
    if (!loses) return;
    this.#sync();
    this.hasLost = this.store.loseUnsynced() || this.hasLost;
  }

  restart(): void {
    this.isUp = true;
  }

  /** Runs a command that has arrived; one that waits for entries goes on until there are any, or time is up. */
  #run(
    connection: Connection,
    name: string,
    args: readonly string[],
    take: (reply: Reply | RedisError) => void,
    untilMs: number,
  ): void {
    const world = this.#world;
    if (!this.isUp || !this.#connections.has(connection)) return;
    const reply = this.execute(name, args, connection);
    if (reply !== null || world.nowMs >= untilMs) this.#deliver(connection, () => take(reply));
    else world.after(BLOCKED_LOOK_MS, world.outside, () => this.#run(connection, name, args, take, untilMs));
  }

  readonly #publish = (channel: string, message: string): number => {
    this.onPublish(channel);
    const listeners = [...this.#connections].filter(
      ({ isOpen, channels }) => isOpen && channels.has(channel),
    );
    for (const connection of listeners) {
      this.#deliver(connection, () => connection.end.onMessage(channel, message));
    }
    return listeners.length;
  };

  #deliver(connection: Connection, run: () => void): void {
    const world = this.#world;
    const atMs = Math.max(connection.toClientAtMs + GAP_MS, world.nowMs + this.#latencyMs(connection));
    connection.toClientAtMs = atMs;
    world.at(atMs, connection.end.process, () => {
      if (connection.isOpen) run();
    });
  }

  #latencyMs({ end }: Connection): number {
    const { slowUntilMs, slowMs } = this.faults;
    const slow = this.#world.nowMs < slowUntilMs ? this.#world.between(0, slowMs) : 0;
    return this.#stalledMs(end.process) + slow + this.#world.between(LEAST_LATENCY_MS, MOST_LATENCY_MS);
  }

  #stalledMs({ name }: SimulatedProcess): number {
    return Math.max(0, (this.faults.stalledUntilMs.get(name) ?? 0) - this.#world.nowMs);
  }

  #sync(): void {
    if (this.#world.nowMs - this.#syncedAtMs < SYNC_INTERVAL_MS) return;
    this.#syncedAtMs = this.#world.nowMs;
    this.store.makeDurable();
  }
}

/** How long a command waits for what it reads. */
function blockMs(name: string, args: readonly string[]): number {
  const at = name === 'XREAD' ? args.indexOf('BLOCK') : -1;
  return at < 0 ? 0 : Number(args[at + 1]);
}
