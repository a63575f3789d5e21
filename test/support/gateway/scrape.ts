import { expect } from 'vitest';

/** Values of a scrape by their series, as they stand in the text: `name{label="value"}`. */
export type Scrape = ReadonlyMap<string, number>;

/** Reads `/metrics` of a gateway. @param address without a slash at its end */
export async function scrape(address: string): Promise<Scrape> {
  const response = await fetch(`${address}/metrics`);
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  const lines = (await response.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line): [string, number] => {
      const end = line.lastIndexOf(' ');
      return [line.slice(0, end), Number(line.slice(end + 1).replace('Inf', 'Infinity'))];
    }),
  );
}

/** By how much the series have risen from one scrape to the next; those that have not are left out. */
export function rises(before: Scrape, after: Scrape): Record<string, number> {
  const changes = [...after].map(([series, value]) => [series, value - (before.get(series) ?? 0)] as const);
  return Object.fromEntries(changes.filter(([, change]) => change !== 0));
}
