import { type LuaState, lauxlib, lua, lualib, to_luastring } from 'fengari';
import { RedisError, type Reply } from './reply.ts';

/** Runs a command on behalf of a script. @throws {RedisError} */
type Call = (name: string, args: readonly string[]) => Reply;

const LIBRARIES = [
  ['_G', lualib.luaopen_base],
  ['math', lualib.luaopen_math],
  ['string', lualib.luaopen_string],
  ['table', lualib.luaopen_table],
] as const;
/** What JSON's null is in Lua: something that is neither nil nor false. */
const JSON_NULL = {};

/**
 * Runs the very texts of our Redis scripts. Redis has Lua 5.1, whose numbers are doubles; here it is Lua 5.3 with whole numbers of
 * 32 bits, so a clock that scripts multiply must be small (see `START_MS` in world.ts).
 */
class LuaScripts {
  readonly #state = lauxlib.luaL_newstate();
  /** Script text → where its compiled function is kept. */
  readonly #compiled = new Map<string, number>();
  #call: Call = () => null;
  /** What a command threw that is not for the script to see. */
  #defect: unknown;

  constructor() {
    const state = this.#state;
    for (const [name, open] of LIBRARIES) {
      lauxlib.luaL_requiref(state, to_luastring(name), open, 1);
      lua.lua_pop(state, 1);
    }
    this.#define('redis', 'call', () => this.#onCall());
    this.#define('cjson', 'decode', () => {
      pushJson(state, JSON.parse(lua.lua_tojsstring(state, 1)));
      return 1;
    });
  }

  /** @throws {RedisError} what the script, or a command in it, is refused for */
  run(script: string, keys: readonly string[], args: readonly string[], call: Call): Reply {
    const state = this.#state;
    this.#call = call;
    this.#defect = undefined;
    pushStrings(state, keys);
    lua.lua_setglobal(state, to_luastring('KEYS'));
    pushStrings(state, args);
    lua.lua_setglobal(state, to_luastring('ARGV'));
    lua.lua_rawgeti(state, lua.LUA_REGISTRYINDEX, this.#compile(script));
    const isOk = lua.lua_pcall(state, 0, 1, 0) === lua.LUA_OK;
    const reply = isOk ? readReply(state) : lua.lua_tojsstring(state, -1);
    lua.lua_settop(state, 0);
    if (this.#defect !== undefined) throw this.#defect;
    if (!isOk) throw new RedisError(String(reply));
    return reply;
  }

  #define(table: string, name: string, run: () => number): void {
    const state = this.#state;
    lua.lua_createtable(state, 0, 1);
    lua.lua_pushcfunction(state, run);
    lua.lua_setfield(state, -2, to_luastring(name));
    lua.lua_setglobal(state, to_luastring(table));
  }

  #compile(script: string): number {
    const known = this.#compiled.get(script);
    if (known !== undefined) return known;
    const state = this.#state;
    if (lauxlib.luaL_loadstring(state, to_luastring(script)) !== lua.LUA_OK) {
      throw new RedisError(`ERR Error compiling script: ${lua.lua_tojsstring(state, -1)}`);
    }
    const reference = lauxlib.luaL_ref(state, lua.LUA_REGISTRYINDEX);
    this.#compiled.set(script, reference);
    return reference;
  }

  #onCall(): number {
    const state = this.#state;
    const words = Array.from({ length: lua.lua_gettop(state) }, (_, i) => readWord(state, i + 1));
    try {
      pushReply(state, this.#call(words[0]!, words.slice(1)));
      return 1;
    } catch (error) {
      if (!(error instanceof RedisError)) this.#defect = error;
      lua.lua_pushstring(state, to_luastring(String(error)));
    }
    return lua.lua_error(state);
  }
}

/** Shared by all simulations: scripts leave nothing behind. */
export const luaScripts = new LuaScripts();

function pushStrings(state: LuaState, texts: readonly string[]): void {
  lua.lua_createtable(state, texts.length, 0);
  for (const [index, text] of texts.entries()) {
    lua.lua_pushstring(state, to_luastring(text));
    lua.lua_rawseti(state, -2, index + 1);
  }
}

/** As Redis gives replies to scripts: what is not there is false. */
function pushReply(state: LuaState, reply: Reply): void {
  if (reply === null) lua.lua_pushboolean(state, false);
  else if (typeof reply === 'number') lua.lua_pushnumber(state, reply);
  else if (typeof reply === 'string') lua.lua_pushstring(state, to_luastring(reply));
  else {
    lua.lua_createtable(state, reply.length, 0);
    for (const [index, item] of reply.entries()) {
      pushReply(state, item);
      lua.lua_rawseti(state, -2, index + 1);
    }
  }
}

function pushJson(state: LuaState, value: unknown): void {
  if (value === null) lua.lua_pushlightuserdata(state, JSON_NULL);
  else if (typeof value === 'boolean') lua.lua_pushboolean(state, value);
  else if (typeof value === 'number') lua.lua_pushnumber(state, value);
  else if (typeof value === 'string') lua.lua_pushstring(state, to_luastring(value));
  else {
    const isList = Array.isArray(value);
    lua.lua_createtable(state, 0, 0);
    for (const [key, item] of Object.entries(value as object)) {
      pushJson(state, item);
      if (isList) lua.lua_rawseti(state, -2, Number(key) + 1);
      else lua.lua_setfield(state, -2, to_luastring(key));
    }
  }
}

/** Whole numbers have no fraction, as in Lua 5.1. */
const readWord = (state: LuaState, index: number): string =>
  lua.lua_type(state, index) === lua.LUA_TNUMBER
    ? String(lua.lua_tonumber(state, index))
    : lua.lua_tojsstring(state, index);

/** Reads the value on top of the stack as Redis answers it: numbers without their fraction, false as nothing. */
function readReply(state: LuaState): Reply {
  const type = lua.lua_type(state, -1);
  if (type === lua.LUA_TNUMBER) return Math.trunc(lua.lua_tonumber(state, -1));
  if (type === lua.LUA_TSTRING) return lua.lua_tojsstring(state, -1);
  if (type === lua.LUA_TBOOLEAN) return lua.lua_toboolean(state, -1) ? 1 : null;
  if (type !== lua.LUA_TTABLE) return null;
  const items: Reply[] = [];
  for (let index = 1; lua.lua_rawgeti(state, -1, index) !== lua.LUA_TNIL; index += 1) {
    items.push(readReply(state));
    lua.lua_pop(state, 1);
  }
  lua.lua_pop(state, 1);
  return items;
}
