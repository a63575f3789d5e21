import { once } from 'node:events';
import { Command } from 'commander';
import { givenRedis, type RedisFlags, redisOption } from '../cli/options/redis-option.ts';
import { wholeNumber } from '../cli/options/values.ts';
import { runMain } from '../cli/run-main.ts';
import { startWrangler } from './wrangler.ts';

const DEFAULT_PORT = 8_787;
const HIGHEST_PORT = 65_535;
const HOST = '127.0.0.1';
/** As often as the configuration's cron trigger, which fires only where the Worker is deployed. */
const TRIGGER_INTERVAL_MS = 60_000;

interface DevFlags extends RedisFlags {
  readonly port: number;
}

/** Runs the Worker here until it is told to stop. @returns its exit status */
async function serve(flags: DevFlags): Promise<number> {
  const redisUrl = await givenRedis(flags);
  const wrangler = startWrangler(
    [
      ...['dev', '--ip', HOST, '--port', String(flags.port), '--show-interactive-dev-session=false'],
      ...['--var', 'ALLOW_ANONYMOUS:true'],
    ],
    // Secrets are taken from the environment, where nobody else reads them.
    { stdio: 'inherit', env: { REDIS_URL: redisUrl } },
  );
  let isStopped = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      isStopped = true;
      wrangler.kill('SIGTERM');
    });
  }
  const trigger = setInterval(() => {
    // While it starts, or is edited, nobody answers.
    fetch(`http://${HOST}:${flags.port}/cdn-cgi/local/scheduled`)
      .then((response) => response.text())
      .catch(() => {});
  }, TRIGGER_INTERVAL_MS);
  const [status] = (await once(wrangler, 'exit')) as [number | null];
  clearInterval(trigger);
  return isStopped ? 0 : (status ?? 1);
}

async function main(): Promise<void> {
  const command = new Command('dev:worker')
    .description('Run the gateway as a Cloudflare Worker on this machine, for pools that share the Redis')
    .addOption(redisOption())
    .option('--port <port>', 'port of the HTTP API', wholeNumber('--port', 1, HIGHEST_PORT), DEFAULT_PORT)
    .parse();
  process.exitCode = await serve(command.opts<DevFlags>());
}

await runMain('dev:worker', main);
