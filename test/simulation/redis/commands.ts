import { luaScripts } from './lua-scripts.ts';
import { queueCommands } from './queue-commands.ts';
import { RedisError, type Reply } from './reply.ts';
import type { RedisStore, StreamItem } from './store.ts';

/** Where a command runs. */
export interface Context {
  readonly store: RedisStore;
  readonly nowMs: number;
  readonly publish: (channel: string, message: string) => number;
}

export type Command = (context: Context, args: readonly string[]) => Reply;

const OK = 'OK';

/** Runs one command. @throws {RedisError} @throws {Error} for a command that the simulation does not know */
export function runCommand(context: Context, name: string, args: readonly string[]): Reply {
  const command = COMMANDS[name.toUpperCase()];
  if (command === undefined) throw new Error(`The simulated Redis has no ${name}: add it to commands.ts`);
  return command(context, args);
}

const strings: Readonly<Record<string, Command>> = {
  GET: ({ store, nowMs }, [key]) => store.read('string', key!, nowMs)?.text ?? null,
  // Unlike GET, it has nothing for a key of another kind.
  MGET: ({ store, nowMs }, keys) =>
    keys.map((key) =>
      store.kindOf(key, nowMs) === 'string' ? store.read('string', key, nowMs)!.text : null,
    ),
  SET({ store, nowMs }, [key, text, ...options]) {
    if (options.includes('NX') && store.exists(key!, nowMs)) return null;
    store.remove(key!, nowMs);
    store.write('string', key!, nowMs).text = text!;
    const life = options.indexOf('PX');
    if (life >= 0) store.expireAt(key!, nowMs + Number(options[life + 1]), nowMs);
    store.onWrite(key!);
    return OK;
  },
  INCR({ store, nowMs }, [key]) {
    const held = store.read('string', key!, nowMs)?.text ?? '0';
    if (!/^-?\d+$/.test(held)) throw new RedisError('ERR value is not an integer or out of range');
    const value = store.write('string', key!, nowMs);
    value.text = String(Number(held) + 1);
    store.onWrite(key!);
    return Number(value.text);
  },
};

const keyspace: Readonly<Record<string, Command>> = {
  DEL({ store, nowMs }, keys) {
    const removed = keys.filter((key) => store.remove(key, nowMs));
    for (const key of removed) store.onWrite(key);
    return removed.length;
  },
  EXISTS: ({ store, nowMs }, keys) => keys.filter((key) => store.exists(key, nowMs)).length,
  EXPIRE: ({ store, nowMs }, [key, seconds]) =>
    Number(store.expireAt(key!, nowMs + 1_000 * Number(seconds), nowMs)),
  PEXPIRE: ({ store, nowMs }, [key, ms]) => Number(store.expireAt(key!, nowMs + Number(ms), nowMs)),
  TIME: ({ nowMs }) => [String(Math.floor(nowMs / 1_000)), String(Math.floor((nowMs % 1_000) * 1_000))],
  PUBLISH: ({ publish }, [channel, message]) => publish(channel!, message!),
};

const hashes: Readonly<Record<string, Command>> = {
  HGET: ({ store, nowMs }, [key, field]) => store.read('hash', key!, nowMs)?.get(field!) ?? null,
  HMGET: (context, [key, ...fields]) => fields.map((field) => hashes.HGET!(context, [key!, field])),
  HGETALL: ({ store, nowMs }, [key]) => [...(store.read('hash', key!, nowMs) ?? [])].flat(),
  HSET({ store, nowMs }, [key, ...pairs]) {
    const hash = store.write('hash', key!, nowMs);
    const before = hash.size;
    for (let i = 0; i < pairs.length; i += 2) hash.set(pairs[i]!, pairs[i + 1]!);
    store.onWrite(key!);
    return hash.size - before;
  },
  HDEL({ store, nowMs }, [key, ...fields]) {
    const hash = store.write('hash', key!, nowMs);
    const removed = fields.filter((field) => hash.delete(field)).length;
    if (hash.size === 0) store.remove(key!, nowMs);
    return removed;
  },
};

const sets: Readonly<Record<string, Command>> = {
  SADD({ store, nowMs }, [key, ...members]) {
    const set = store.write('set', key!, nowMs);
    const before = set.size;
    for (const member of members) set.add(member);
    store.onWrite(key!);
    return set.size - before;
  },
  SREM({ store, nowMs }, [key, ...members]) {
    const set = store.write('set', key!, nowMs);
    const removed = members.filter((member) => set.delete(member)).length;
    if (set.size === 0) store.remove(key!, nowMs);
    return removed;
  },
  SMEMBERS: ({ store, nowMs }, [key]) => [...(store.read('set', key!, nowMs) ?? [])],
  SISMEMBER: ({ store, nowMs }, [key, member]) =>
    Number(store.read('set', key!, nowMs)?.has(member!) ?? false),
  SCARD: ({ store, nowMs }, [key]) => store.read('set', key!, nowMs)?.size ?? 0,
};

const lists: Readonly<Record<string, Command>> = {
  LPUSH({ store, nowMs }, [key, ...texts]) {
    const list = store.write('list', key!, nowMs);
    for (const text of texts) list.unshift(text);
    store.onWrite(key!);
    return list.length;
  },
  LTRIM({ store, nowMs }, [key, from, to]) {
    const list = store.write('list', key!, nowMs);
    list.splice(0, list.length, ...range(list, from!, to!));
    if (list.length === 0) store.remove(key!, nowMs);
    return OK;
  },
  LRANGE: ({ store, nowMs }, [key, from, to]) => range(store.read('list', key!, nowMs) ?? [], from!, to!),
  LINDEX: ({ store, nowMs }, [key, index]) => store.read('list', key!, nowMs)?.at(Number(index)) ?? null,
  LLEN: ({ store, nowMs }, [key]) => store.read('list', key!, nowMs)?.length ?? 0,
  // Only asked of a queue whose jobs have no levels here.
  ZCARD: ({ store, nowMs }, [key]) => Number(store.exists(key!, nowMs)),
};

const streams: Readonly<Record<string, Command>> = {
  XADD({ store, nowMs }, [key, , ...fields]) {
    const stream = store.write('stream', key!, nowMs);
    const ms = Math.max(Math.floor(nowMs), stream.lastMs);
    stream.lastSequence = ms === stream.lastMs ? stream.lastSequence + 1 : 0;
    stream.lastMs = ms;
    const id = `${ms}-${stream.lastSequence}`;
    stream.items.push([id, fields]);
    store.onWrite(key!);
    return id;
  },
  XRANGE: ({ store, nowMs }, [key]) => store.read('stream', key!, nowMs)?.items ?? [],
  XREAD({ store, nowMs }, args) {
    const count = Number(args[args.indexOf('COUNT') + 1]);
    const named = args.slice(args.indexOf('STREAMS') + 1);
    const half = named.length / 2;
    const found = named.slice(0, half).flatMap((key, position) => {
      const after = named[half + position]!;
      const items = store.read('stream', key, nowMs)?.items.filter(([id]) => isBehind(id, after)) ?? [];
      return items.length === 0 ? [] : [[key, items.slice(0, count)] as const];
    });
    return found.length === 0 ? null : found;
  },
};

const scripts: Readonly<Record<string, Command>> = {
  EVAL(context, [script, count, ...rest]) {
    const keys = rest.slice(0, Number(count));
    const args = rest.slice(Number(count));
    return luaScripts.run(script!, keys, args, (name, words) => runCommand(context, name, words));
  },
};

const COMMANDS: Readonly<Record<string, Command>> = {
  ...strings,
  ...keyspace,
  ...hashes,
  ...sets,
  ...lists,
  ...streams,
  ...scripts,
  ...queueCommands,
};

function range(list: readonly string[], from: string, to: string): string[] {
  const at = (index: number): number => (index < 0 ? Math.max(0, list.length + index) : index);
  return Number(to) < -list.length ? [] : list.slice(at(Number(from)), at(Number(to)) + 1);
}

function isBehind(id: StreamItem[0], after: string): boolean {
  const [ms, sequence] = id.split('-').map(Number);
  const [afterMs, afterSequence = 0] = after.split('-').map(Number);
  return ms! > afterMs! || (ms === afterMs && sequence! > afterSequence);
}
