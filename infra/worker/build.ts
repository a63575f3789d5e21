import { resolve } from 'node:path';
import { Command } from 'commander';
import { runMain } from '../cli/run-main.ts';
import { bundleWorker } from './bundle.ts';

const DEFAULT_FOLDER = 'dist/worker';
const BYTES_PER_KIB = 1_024;

const kib = (bytes: number): string => `${Math.ceil(bytes / BYTES_PER_KIB)} KiB`;

async function main(): Promise<void> {
  const command = new Command('build:worker')
    .description('Bundle the gateway for Cloudflare Workers, as a deployment would, without deploying it')
    .option('--out <folder>', 'where the bundle is written', DEFAULT_FOLDER)
    .parse();
  const { path, bytes, gzipBytes } = await bundleWorker(resolve(command.opts<{ out: string }>().out));
  console.log(`${path}: ${kib(bytes)}, ${kib(gzipBytes)} compressed`);
}

await runMain('build:worker', main);
