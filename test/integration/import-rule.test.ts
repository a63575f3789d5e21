import { execFile } from 'node:child_process';
import { globSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/** A file that imports something: where it lies, what it imports, and how. */
interface Probe {
  file: string;
  from: string;
  form: keyof typeof FORMS;
}

const root = fileURLToPath(new URL('../../', import.meta.url));
const FORMS = {
  import: (from: string) => `import { thing } from '${from}';\nconsole.log(thing);\n`,
  'import type': (from: string) => `import type { Thing } from '${from}';\nexport type Name = Thing;\n`,
  'import()': (from: string) => `export const thing = await import('${from}');\n`,
  export: (from: string) => `export { thing } from '${from}';\n`,
};
const FORBIDDEN = inEachForm([
  ['functions/gateway/a.ts', '../../gpu-pool/host/host.ts'],
  ['functions/gateway/a.ts', '../../infra/cli/janus.ts'],
  ['functions/gateway/a.ts', '../../test/support/redis.ts'],
  ['functions/gateway/a.test.ts', '../../gpu-pool/host/host.ts'],
  ['functions/a.ts', '../gpu-pool/host.ts'],
  ['gpu-pool/host/a.ts', '../../functions/gateway/app.ts'],
  ['gpu-pool/host/a.ts', '../../infra/cli/janus.ts'],
  ['gpu-pool/host/a.ts', '../../test/support/redis.ts'],
  ['gpu-pool/host/a.test.ts', '../../functions/gateway/app.ts'],
  ['shared/protocol/a.ts', '../../gpu-pool/host/host.ts'],
  ['shared/protocol/a.ts', '../../functions/gateway/app.ts'],
  ['shared/protocol/a.ts', '../../infra/cli/janus.ts'],
  ['shared/protocol/a.ts', 'node:fs'],
  ['shared/protocol/a.ts', 'fs'],
  ['shared/protocol/a.test.ts', '../../gpu-pool/host/host.ts'],
]);
const ALLOWED = inEachForm([
  ['functions/gateway/a.ts', '../../shared/protocol/keys.ts'],
  ['functions/gateway/a.ts', '../dispatcher/dispatch.ts'],
  ['functions/gateway/a.ts', 'hono'],
  ['functions/gateway/a.test.ts', '../../test/support/redis.ts'],
  ['gpu-pool/host/a.ts', '../../shared/scheduler/aebs.ts'],
  ['gpu-pool/host/a.ts', 'node:fs'],
  ['shared/protocol/a.ts', '../errors/janus-error.ts'],
  ['shared/protocol/a.test.ts', 'node:fs'],
  ['infra/cli/a.ts', '../../gpu-pool/host/host.ts'],
  ['test/e2e/a.ts', '../../functions/gateway/app.ts'],
]);

/** What the table of rooms says, for the scan of the files that exist. Rooms that are not named may import all. */
const REACH: Record<string, string[]> = {
  shared: ['shared'],
  functions: ['functions', 'shared'],
  'gpu-pool': ['gpu-pool', 'shared'],
};
const ROOMS = [...Object.keys(REACH), 'infra', 'test'];

describe('the lint rule that keeps the rooms apart', () => {
  let directory: string;
  let rejectedFiles: Set<string>;

  // All probes are linted in one run, in a copy of the house with nothing else in it.
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'janus-import-rule-'));
    await copyFile(join(root, 'biome.json'), join(directory, 'biome.json'));
    for (const [index, probe] of [...FORBIDDEN, ...ALLOWED].entries()) {
      const path = join(directory, placeOf(probe, index));
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, FORMS[probe.form](probe.from));
    }
    rejectedFiles = await lint(directory);
  });

  afterAll(() => rm(directory, { recursive: true, force: true }));

  it.each(FORBIDDEN.map((probe, index) => ({ ...probe, place: placeOf(probe, index) })))(
    'rejects $form of $from in $file',
    ({ place }) => {
      expect(rejectedFiles).toContain(place);
    },
  );

  it.each(ALLOWED.map((probe, index) => ({ ...probe, place: placeOf(probe, FORBIDDEN.length + index) })))(
    'allows $form of $from in $file',
    ({ place }) => {
      expect(rejectedFiles).not.toContain(place);
    },
  );
});

describe('the files of the rooms', () => {
  it('do not name a source file in a room out of their reach, not even in a URL or a type', async () => {
    const files = globSync(`{${Object.keys(REACH).join(',')}}/**/*.ts`, { cwd: root });
    const found = await Promise.all(
      files.map(async (file) => pathsOutOfReach(file, await readFile(join(root, file), 'utf8'))),
    );
    expect(files.length).toBeGreaterThan(0);
    expect(found.flat()).toEqual([]);
  });

  // Forms that the lint rule does not see.
  it.each([
    `new Worker(new URL('../../gpu-pool/host/worker.ts', import.meta.url))`,
    `type Host = import('../../gpu-pool/host/host.ts').Host`,
    `createRequire(import.meta.url)("../../gpu-pool/host/host.ts")`,
  ])('are caught at %s', (code) => {
    expect(pathsOutOfReach('functions/gateway/a.ts', code)).toHaveLength(1);
  });
});

function inEachForm(cases: [file: string, from: string][]): Probe[] {
  const forms = Object.keys(FORMS) as (keyof typeof FORMS)[];
  return cases.flatMap(([file, from]) => forms.map((form) => ({ file, from, form })));
}

/** A file name that no other probe has, in the same folder. */
function placeOf(probe: Probe, index: number): string {
  return join(dirname(probe.file), probe.file.replace(/^.*\/a/, `probe-${index}`));
}

/** Lints as `npm run check` does. Returns the files with errors. */
async function lint(directory: string): Promise<Set<string>> {
  const biome = join(root, 'node_modules/.bin/biome');
  const args = [
    'lint',
    '--error-on-warnings',
    '--vcs-enabled=false',
    '--max-diagnostics=none',
    '--reporter=json',
  ];
  const output = await new Promise<string>((resolveOutput) => {
    // Biome's exit status is 1 as soon as one probe is rejected: its report tells which.
    execFile(biome, [...args, '.'], { cwd: directory }, (_error, stdout) => resolveOutput(stdout));
  });
  const report = JSON.parse(output) as { diagnostics: { severity: string; location: { path: string } }[] };
  return new Set(
    report.diagnostics.filter(({ severity }) => severity === 'error').map(({ location }) => location.path),
  );
}

/** Every relative path of a source file in quotes is looked at, whatever it is used for. */
function pathsOutOfReach(file: string, code: string): string[] {
  const [room = ''] = file.split(sep);
  const reach = file.endsWith('.test.ts') ? [...(REACH[room] ?? []), 'test'] : REACH[room];
  const paths = [...code.matchAll(/(['"`])(\.\.?\/[^'"`\n]*\.[cm]?[jt]s)\1/g)].map((match) => match[2] ?? '');
  return paths
    .filter((path) => {
      const [target = ''] = relative(root, resolve(root, dirname(file), path)).split(sep);
      return ROOMS.includes(target) && !reach?.includes(target);
    })
    .map((path) => `${file}: ${path}`);
}
