import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';

const FROM = /^(?:import|export)\s(?!type\s)[^;]*?from '([^']+)';/gm;

/** Modules, of others too, that a module imports at run time, and those that these import. */
async function reached(entry: URL, found = new Set<string>()): Promise<Set<string>> {
  for (const [, name] of (await readFile(entry, 'utf8')).matchAll(FROM)) {
    const module = name!.startsWith('.') ? new URL(name!, entry) : undefined;
    const known = module?.href ?? name!;
    if (found.has(known)) continue;
    found.add(known);
    if (module !== undefined) await reached(module, found);
  }
  return found;
}

test('nothing that batches on a Worker import needs files, a server or threads', async () => {
  const modules = [...(await reached(new URL('./worker-batches.ts', import.meta.url)))];
  expect(modules).toEqual(expect.arrayContaining(['bullmq', expect.stringMatching(/run\/answer-line\.ts$/)]));
  const refused = /^node:(fs|http|https|net|os|path|child_process|worker_threads|process)|^pino|disk-store/;
  expect(modules.filter((name) => refused.test(name))).toEqual([]);
});
