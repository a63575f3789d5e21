import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { JanusError } from '../../shared/errors/janus-error.ts';
import { startWrangler } from './wrangler.ts';

/** The Worker as it would be deployed. */
export interface WorkerBundle {
  readonly path: string;
  readonly bytes: number;
  /** What the platform counts. */
  readonly gzipBytes: number;
}

/**
 * Bundles the Worker without deploying it; no account is needed.
 *
 * @param folder where the bundle is written
 * @throws {JanusError} with wrangler's output when it fails
 */
export async function bundleWorker(folder: string): Promise<WorkerBundle> {
  const wrangler = startWrangler(['deploy', '--dry-run', '--outdir', folder], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [wrangler.stdout, wrangler.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const [status] = await once(wrangler, 'close');
  if (status !== 0) throw new JanusError(`The Worker cannot be bundled:\n${output}`);
  const path = join(folder, 'worker.js');
  const script = await readFile(path);
  const { length } = await promisify(gzip)(script);
  return { path, bytes: script.length, gzipBytes: length };
}
