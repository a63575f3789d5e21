import { JanusError } from '../shared/errors/janus-error.ts';

/** A Redis address as messages may show it: without password and options, which may hold one. */
export function redactRedisUrl(url: string): string {
  const parsed = URL.parse(url);
  if (parsed === null) return '(not a URL)';
  if (parsed.password !== '') parsed.password = '***';
  parsed.search = '';
  parsed.hash = '';
  return parsed.href;
}

/** @throws {JanusError} when the address is not a URL of Redis */
export function checkRedisUrl(url: string): void {
  const protocol = URL.parse(url)?.protocol;
  if (protocol === 'redis:' || protocol === 'rediss:' || protocol === 'unix:') return;
  throw new JanusError(
    `The Redis address ${redactRedisUrl(url)} is not understood: write it as redis://host:port, rediss:// for TLS`,
  );
}
