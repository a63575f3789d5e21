/** Names come from ids of ours; anything else could lead out of the store. */
const SAFE_NAME = /^[A-Za-z0-9_-]{1,128}$/;

/** @throws {Error} when a store could not tell the name from a place of its own */
export function safeName(name: string): string {
  if (SAFE_NAME.test(name)) return name;
  throw new Error(`${JSON.stringify(name)} cannot name a file: it may hold letters, digits, _ and - only`);
}
