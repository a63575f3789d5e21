/** Why set-up stopped, and what to do about it. Its message is all that the user sees. */
export class SetupError extends Error {}

/**
 * Tells the user one thing. It goes to stderr, because set-up runs before commands whose stdout is data (`--json`).
 *
 * @param {string} text
 */
export function report(text) {
  process.stderr.write(`setup: ${text}\n`);
}

/**
 * @param {number} sinceMs a reading of `Date.now()`
 * @returns {string} the time that has passed, as in `12 s`
 */
export function secondsSince(sinceMs) {
  return `${Math.max(1, Math.round((Date.now() - sinceMs) / 1000))} s`;
}
