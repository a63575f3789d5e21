import { RedisError } from './reply.ts';

/** Entry of a stream. */
export type StreamItem = readonly [id: string, fields: readonly string[]];

/** What a key may hold. */
export interface Kinds {
  string: { text: string };
  hash: Map<string, string>;
  list: string[];
  set: Set<string>;
  stream: { items: StreamItem[]; lastMs: number; lastSequence: number };
}
export type Kind = keyof Kinds;

interface Entry {
  readonly kind: Kind;
  readonly value: Kinds[Kind];
  /** By the server's clock; null: it stays. */
  expiresAtMs: number | null;
}

const EMPTY: { readonly [K in Kind]: () => Kinds[K] } = {
  string: () => ({ text: '' }),
  hash: () => new Map(),
  list: () => [],
  set: () => new Set(),
  stream: () => ({ items: [], lastMs: 0, lastSequence: 0 }),
};

/** Keys and values of a server, and what it takes to lose the latest of them. */
export class RedisStore {
  readonly #entries = new Map<string, Entry>();
  /** As keys were when the store was last made durable, of those that changed since. */
  readonly #durable = new Map<string, Entry | undefined>();
  /** Told of every key that may have changed. */
  onWrite: (key: string) => void = () => {};

  get size(): number {
    return this.#entries.size;
  }

  /** The value of a key; undefined where there is none. @throws {RedisError} where it is of another kind */
  read<K extends Kind>(kind: K, key: string, nowMs: number): Kinds[K] | undefined {
    return this.#living(kind, key, nowMs)?.value as Kinds[K] | undefined;
  }

  /** The value of a key that is about to be changed, made where there is none. @throws {RedisError} as `read` */
  write<K extends Kind>(kind: K, key: string, nowMs: number): Kinds[K] {
    const entry = this.#living(kind, key, nowMs);
    this.#remember(key);
    if (entry !== undefined) return entry.value as Kinds[K];
    const value = EMPTY[kind]();
    this.#entries.set(key, { kind, value, expiresAtMs: null });
    return value;
  }

  /** Drops a key; returns whether it was there. */
  remove(key: string, nowMs: number): boolean {
    if (!this.exists(key, nowMs)) return false;
    this.#remember(key);
    return this.#entries.delete(key);
  }

  exists(key: string, nowMs: number): boolean {
    return this.kindOf(key, nowMs) !== undefined;
  }

  kindOf(key: string, nowMs: number): Kind | undefined {
    this.#expire(key, nowMs);
    return this.#entries.get(key)?.kind;
  }

  /** Lets a key live until `atMs`, or for ever; returns whether it is there. */
  expireAt(key: string, atMs: number | null, nowMs: number): boolean {
    if (!this.exists(key, nowMs)) return false;
    this.#remember(key);
    this.#entries.get(key)!.expiresAtMs = atMs;
    return true;
  }

  /** From now on what is written by now survives a crash. */
  makeDurable(): void {
    this.#durable.clear();
  }

  /** Takes back what was written since. @returns whether anything was lost */
  loseUnsynced(): boolean {
    const hasLost = this.#durable.size > 0;
    for (const [key, entry] of this.#durable) {
      if (entry === undefined) this.#entries.delete(key);
      else this.#entries.set(key, entry);
    }
    this.#durable.clear();
    return hasLost;
  }

  #living(kind: Kind, key: string, nowMs: number): Entry | undefined {
    this.#expire(key, nowMs);
    const entry = this.#entries.get(key);
    if (entry !== undefined && entry.kind !== kind) {
      throw new RedisError('WRONGTYPE Operation against a key holding the wrong kind of value');
    }
    return entry;
  }

  #expire(key: string, nowMs: number): void {
    const expiresAtMs = this.#entries.get(key)?.expiresAtMs ?? null;
    if (expiresAtMs !== null && expiresAtMs <= nowMs) this.#entries.delete(key);
  }

  #remember(key: string): void {
    if (this.#durable.has(key)) return;
    const entry = this.#entries.get(key);
    this.#durable.set(key, entry && { ...entry, value: structuredClone(entry.value) });
  }
}
