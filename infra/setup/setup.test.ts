import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const infra = fileURLToPath(new URL('../', import.meta.url));
const LOCK = JSON.stringify({
  packages: {
    '': {},
    'node_modules/thing': { version: '1.0.0', integrity: 'sha512-a' },
    'node_modules/for-another-system': { version: '1.0.0', optional: true },
  },
});
/** Stands for the npm of the machine: writes down how it was called, and installs what `npm ci` would. */
const NPM = `#!/bin/sh
echo "$1" >> npm-calls
echo "$npm_config_globalconfig" >> npm-configuration
case $1 in
  ci)
    sleep 0.3
    mkdir -p node_modules/.bin
    cp package-lock.json node_modules/.package-lock.json
    [ -e scripts-are-off ] || printf '#!/bin/sh\\necho v24.0.0\\n' > node_modules/.bin/node ;;
  rebuild)
    [ -e scripts-stay-off ] || printf '#!/bin/sh\\necho v24.0.0\\n' > node_modules/.bin/node ;;
esac
chmod +x node_modules/.bin/node 2>/dev/null
true
`;

/** Stands for the build of the kernels, whose compiler is a package that this npm does not install. */
const KERNEL_BUILD = `
import { existsSync, writeFileSync } from 'node:fs';
const built = new URL('./kernels-built', import.meta.url);
export const kernelsAreBuilt = () => existsSync(built);
export const buildKernels = async () => writeFileSync(built, '');
`;

let checkout: string;
let programs: string;

beforeEach(async () => {
  checkout = await mkdtemp(join(tmpdir(), 'janus-setup-test-'));
  programs = join(checkout, 'programs');
  await cp(join(infra, 'setup'), join(checkout, 'infra/setup'), { recursive: true });
  await cp(join(infra, 'redis/install-commands.json'), join(checkout, 'infra/redis/install-commands.json'));
  await mkdir(join(checkout, 'gpu-pool/kernels'), { recursive: true });
  await writeFile(join(checkout, 'gpu-pool/kernels/build.mjs'), KERNEL_BUILD);
  await writeFile(join(checkout, 'package-lock.json'), LOCK);
  await program('npm', NPM);
  await program('redis-server', '#!/bin/sh\n');
});

afterEach(() => rm(checkout, { recursive: true, force: true }));

describe('set-up of npm packages', () => {
  it('runs npm ci in a fresh checkout, says so on stderr, and leaves stdout to the command that follows', async () => {
    const { status, stdout, stderr } = await setUp();
    expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
    expect(stderr).toContain('npm packages installed');
    expect(await npmCalls()).toEqual(['ci']);
    expect(existsSync(join(checkout, 'gpu-pool/kernels/kernels-built'))).toBe(true);
  });

  it('does and says nothing the second time', async () => {
    await setUp();
    expect(await setUp('--quiet')).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(await npmCalls()).toEqual(['ci']);
  });

  it('installs again when package-lock.json asks for another version', async () => {
    await setUp();
    await writeFile(join(checkout, 'package-lock.json'), LOCK.replace('1.0.0', '1.0.1'));
    await setUp();
    expect(await npmCalls()).toEqual(['ci', 'ci']);
  });

  it('installs again when an installation was cut short', async () => {
    await mkdir(join(checkout, 'node_modules/thing'), { recursive: true });
    await setUp();
    expect(await npmCalls()).toEqual(['ci']);
  });

  it('installs once when it is started twice at the same time', async () => {
    const runs = await Promise.all([setUp(), setUp()]);
    expect(runs.map(({ status }) => status)).toEqual([0, 0]);
    expect(await npmCalls()).toEqual(['ci']);
  });

  it('does not point npm at a configuration inside the folder that npm is about to replace', async () => {
    const globalConfiguration = (path: string) => setUp('--quiet', { npm_config_globalconfig: path });
    await globalConfiguration(join(checkout, 'node_modules/node/etc/npmrc'));
    await rm(join(checkout, 'node_modules'), { recursive: true });
    await globalConfiguration('/etc/npmrc');
    expect(await readFile(join(checkout, 'npm-configuration'), 'utf8')).toBe('\n/etc/npmrc\n');
  });

  it('shows what npm said when it fails', async () => {
    await program('npm', '#!/bin/sh\necho "npm error ENOTFOUND registry" >&2\nexit 1\n');
    const { status, stderr } = await setUp();
    expect(status).toBe(1);
    expect(stderr).toContain('npm error ENOTFOUND registry');
  });
});

describe('set-up of Node 24', () => {
  it('is fetched when npm has skipped install scripts', async () => {
    await writeFile(join(checkout, 'scripts-are-off'), '');
    expect(await setUp()).toMatchObject({
      status: 0,
      stderr: expect.stringContaining('ready, with Node v24.0.0'),
    });
    expect(await npmCalls()).toEqual(['ci', 'rebuild']);
  });

  it('stops with the command to type when npm goes on skipping them', async () => {
    await writeFile(join(checkout, 'scripts-are-off'), '');
    await writeFile(join(checkout, 'scripts-stay-off'), '');
    const { status, stderr } = await setUp();
    expect(status).toBe(1);
    expect(stderr).toContain('npm rebuild node --ignore-scripts=false');
  });
});

describe('set-up of Redis', () => {
  beforeEach(() => rm(join(programs, 'redis-server')));

  it('stops with the commands to type when there is none that it may install', async () => {
    const { status, stderr } = await setUp();
    expect(status).toBe(1);
    expect(stderr).toMatch(/redis-server is not on PATH.*apt-get install redis-server.*brew install redis/s);
  });

  it('is content with REDIS_URL, except for the tests, which start servers', async () => {
    const environment = { REDIS_URL: 'redis://cache.example:6379' };
    expect(await setUp('--redis=required', environment)).toMatchObject({ status: 0 });
    expect(await setUp('--redis=local', environment)).toMatchObject({ status: 1 });
  });

  it('goes on without Redis where the command may not need it', async () => {
    expect(await setUp('--redis=optional')).toMatchObject({ status: 0 });
  });
});

/** Runs set-up in the checkout, as a user with a PATH that has our programs and nothing else, no apt-get either. */
async function setUp(option = '--redis=required', environment: Record<string, string> = {}) {
  const child = spawn(process.execPath, ['infra/setup/setup.mjs', option], {
    cwd: checkout,
    env: { PATH: programs, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [stdout, stderr, [status]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ]);
  return { status, stdout, stderr };
}

/** Puts a script on the PATH of set-up. */
async function program(name: string, script: string): Promise<void> {
  await mkdir(programs, { recursive: true });
  // The script itself may use the tools of the machine.
  const withTools = script.replace('\n', `\nPATH=${process.env.PATH}\n`);
  await writeFile(join(programs, name), withTools, { mode: 0o755 });
}

async function npmCalls(): Promise<string[]> {
  const log = await readFile(join(checkout, 'npm-calls'), 'utf8');
  return log.trim().split('\n');
}
