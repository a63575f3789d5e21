import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { convertV4MiniflareOptions, Miniflare, NoOpLog } from 'miniflare';
import { bundleWorker, type WorkerBundle } from '../../infra/worker/bundle.ts';
import { WRANGLER_CONFIGURATION } from '../../infra/worker/wrangler.ts';

type Variables = Readonly<Record<string, string | number | boolean>>;

export interface WorkerOptions {
  /** Over TCP: a Worker has no Unix sockets. */
  readonly redisUrl: string;
  /** In place of, or beside, those of `infra/wrangler.jsonc`. */
  readonly vars?: Variables;
}

/** The gateway as a Cloudflare Worker, as it would be deployed, in workerd. */
export interface RunningWorker {
  /** Its address without a slash at its end. */
  readonly url: string;
  readonly bundle: WorkerBundle;
  /** What it has logged. */
  readonly lines: readonly string[];
  /** Fires the cron trigger once; resolves when the Worker has done what it does then. */
  readonly scheduled: () => Promise<void>;
  readonly close: () => Promise<void>;
}

interface Configuration {
  readonly compatibility_date: string;
  readonly compatibility_flags: string[];
  readonly vars: Variables;
}

async function readConfiguration(): Promise<Configuration> {
  const text = await readFile(WRANGLER_CONFIGURATION, 'utf8');
  return JSON.parse(text.replace(/^\s*\/\/.*$/gm, '')) as Configuration;
}

/** The Worker's script, of which nothing is left on disk. */
async function bundle(): Promise<{ readonly script: string; readonly bundle: WorkerBundle }> {
  const folder = await mkdtemp(join(tmpdir(), 'janus-worker-'));
  try {
    const bundle = await bundleWorker(folder);
    return { bundle, script: await readFile(bundle.path, 'utf8') };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Bundles the Worker, which takes some seconds, and runs the bundle with a bucket of its own. */
export async function startWorker({ redisUrl, vars = {} }: WorkerOptions): Promise<RunningWorker> {
  const configuration = await readConfiguration();
  const bundled = await bundle();
  const lines: string[] = [];
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      name: 'janus-gateway',
      modules: true,
      script: bundled.script,
      compatibilityDate: configuration.compatibility_date,
      compatibilityFlags: configuration.compatibility_flags,
      bindings: { ...configuration.vars, ...vars, REDIS_URL: redisUrl },
      r2Buckets: ['FILES'],
      host: '127.0.0.1',
      port: 0,
      cf: false,
      unsafeTriggerHandlers: true,
      telemetry: { enabled: false },
      log: new NoOpLog(),
      handleStructuredLogs: ({ message }) => lines.push(message),
    }),
  );
  const url = (await miniflare.ready).origin;
  return {
    url,
    bundle: bundled.bundle,
    lines,
    async scheduled() {
      const response = await fetch(`${url}/cdn-cgi/local/scheduled`);
      const outcome = await response.text();
      if (!response.ok) throw new Error(`The Worker's cron trigger ended with ${outcome}`);
    },
    close: () => miniflare.dispose(),
  };
}
