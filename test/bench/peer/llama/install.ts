import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { JanusError } from '../../../../shared/errors/janus-error.ts';
import { benchCache } from '../../model/options.ts';

/** The peer: llama.cpp as a library for Node. It is installed for the benchmark only and is no dependency of ours. */
export const PEER_PACKAGE = 'node-llama-cpp';
export const PEER_VERSION = '3.22.1';
const INSTALL_LIMIT_MS = 10 * 60_000;

/**
 * Installs the peer, binaries included, into a folder of its own in the benchmarks' cache, unless it is there already.
 *
 * @returns URL of the module to import
 * @throws JanusError with npm's output when it cannot be installed
 */
export async function ensurePeer(log: (line: string) => void): Promise<string> {
  const folder = join(benchCache(), 'peer');
  const packageFolder = join(folder, 'node_modules', PEER_PACKAGE);
  const entry = join(packageFolder, 'dist', 'index.js');
  if ((await installedVersion(packageFolder)) !== PEER_VERSION || !existsSync(entry)) {
    log(`installing ${PEER_PACKAGE} ${PEER_VERSION} into ${folder} …`);
    await install(folder);
  }
  return pathToFileURL(entry).href;
}

async function installedVersion(packageFolder: string): Promise<string | undefined> {
  try {
    return JSON.parse(await readFile(join(packageFolder, 'package.json'), 'utf8')).version;
  } catch {
    return undefined;
  }
}

async function install(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'janus-bench-peer', private: true }));
  const options = ['--no-audit', '--no-fund', '--no-progress', '--loglevel=error', '--include=optional'];
  const args = ['install', ...options, `${PEER_PACKAGE}@${PEER_VERSION}`];
  try {
    await promisify(execFile)('npm', args, {
      cwd: folder,
      timeout: INSTALL_LIMIT_MS,
      // The binaries come from npm; without this the package would also look for newer ones on GitHub, or build them.
      env: { ...process.env, NODE_LLAMA_CPP_SKIP_DOWNLOAD: 'true' },
    });
  } catch (cause) {
    const { stderr = '', message } = cause as Error & { stderr?: string };
    throw new JanusError(
      `${PEER_PACKAGE} cannot be installed into ${folder}: ${stderr || message}\nCheck that npm reaches its registry.`,
      { cause },
    );
  }
}
