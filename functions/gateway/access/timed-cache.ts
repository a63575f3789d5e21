import type { Clock } from '../../clock.ts';

/** Most names of things that exist, and as many of such that do not. */
const MAX_ENTRIES = 1_024;

interface Entry<Value> {
  readonly untilMs: number;
  readonly value: Promise<Value | undefined>;
}

/**
 * Remembers what `read` said for `cacheMs` milliseconds, counted from when it was asked, and asks once for many who want
 * the same. Names of nothing are kept apart, so that a flood of them drives nothing out that exists. Where asking fails,
 * the last answer for a name that exists holds; a failure is not remembered.
 *
 * @param read resolves to undefined where there is nothing of that name
 */
export function createTimedCache<Value>(
  read: (name: string) => Promise<Value | undefined>,
  { cacheMs, clock }: { readonly cacheMs: number; readonly clock: Clock },
): (name: string) => Promise<Value | undefined> {
  const known = new Map<string, Entry<Value>>();
  /** What is being asked for counts as unknown. */
  const unknown = new Map<string, Entry<Value>>();

  const fresh = (entries: Map<string, Entry<Value>>, name: string): Entry<Value> | undefined => {
    const entry = entries.get(name);
    return entry !== undefined && clock.nowMs() < entry.untilMs ? entry : undefined;
  };
  const keep = (entries: Map<string, Entry<Value>>, name: string, entry: Entry<Value>): void => {
    // Taken out first, so that it becomes the youngest: the oldest is dropped.
    entries.delete(name);
    entries.set(name, entry);
    const [oldest] = entries.keys();
    if (entries.size > MAX_ENTRIES && oldest !== undefined) entries.delete(oldest);
  };

  const ask = async (name: string): Promise<Value | undefined> => {
    try {
      return await read(name);
    } catch (error) {
      const last = known.get(name);
      if (last === undefined) throw error;
      return last.value;
    }
  };

  return (name) => {
    const held = fresh(known, name) ?? fresh(unknown, name);
    if (held !== undefined) return held.value;
    const entry = { untilMs: clock.nowMs() + cacheMs, value: ask(name) };
    keep(unknown, name, entry);
    const forget = (): void => {
      if (unknown.get(name) === entry) unknown.delete(name);
    };
    entry.value.then((value) => {
      if (value === undefined) {
        known.delete(name);
      } else {
        forget();
        keep(known, name, entry);
      }
    }, forget);
    return entry.value;
  };
}
