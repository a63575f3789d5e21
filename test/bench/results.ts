import { readFile } from 'node:fs/promises';

const TITLE = `# Measured

Every section is written by the command that it names; a later run of the same command replaces it.
`;

/** The results page, or its beginning when there is none yet. */
export async function readResults(path: URL): Promise<string> {
  return readFile(path, 'utf8').catch(() => TITLE);
}

/** Puts `body` under the heading `## name`, in place of what stood there. */
export function replaceSection(page: string, name: string, body: string): string {
  const sections = page.split(/^(?=## )/m);
  const own = `## ${name}\n\n${body}\n\n`;
  const at = sections.findIndex((section) => section.startsWith(`## ${name}\n`));
  if (at >= 0) sections[at] = own;
  else sections.push(own);
  return `${sections.map((section) => section.trimEnd()).join('\n\n')}\n`;
}

const format = (value: unknown): string =>
  typeof value === 'number' && !Number.isInteger(value)
    ? String(Number(value.toPrecision(4)))
    : String(value);

/** Rows of equal keys as a Markdown table. */
export function markdownTable(rows: readonly Readonly<Record<string, unknown>>[]): string {
  const columns = Object.keys(rows[0] ?? {});
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    line(columns),
    line(columns.map(() => '---')),
    ...rows.map((row) => line(columns.map((column) => format(row[column])))),
  ].join('\n');
}

/** Median of `values`, which are not changed. */
export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** The smallest value that at least `share` of `values` do not exceed. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}
