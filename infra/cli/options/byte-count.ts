import { JanusError } from '../../../shared/errors/janus-error.ts';

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

/** Parser of an option that takes bytes, as a whole number with or without K, M or G (powers of 1024). @throws JanusError naming the flag */
export const byteCount =
  (flag: string) =>
  (text: string): number => {
    const found = /^(\d{1,12})([KMG]?)$/.exec(text);
    if (found !== null) return Number(found[1]) * UNITS[found[2]!]!;
    throw new JanusError(`${flag} is ${JSON.stringify(text)}; give bytes, for example 500M or 2G.`);
  };

/** Bytes in the largest unit that keeps a digit before the point. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return `${(bytes / 2 ** (10 * power)).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}
