/**
 * Makes a fresh checkout able to run: npm packages, Node 24, Redis. It runs before every npm script that needs them, on
 * whatever Node (20 or later) the machine has and without any package, so it is plain JavaScript.
 *
 *   --quiet            say nothing when nothing is to do
 *   --redis=required   stop when there is neither REDIS_URL nor redis-server (the default)
 *   --redis=local      stop when there is no redis-server, even if REDIS_URL is set
 *   --redis=optional   go on without Redis: the command that needs it will say so
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildKernels, kernelsAreBuilt } from '../../gpu-pool/kernels/build.mjs';
import { withSetupLock } from './lock.mjs';
import { installNodeRuntime, projectNodeVersion } from './node-runtime.mjs';
import { arePackagesInstalled, installPackages } from './packages.mjs';
import { installRedis, isRedisAvailable } from './redis-server.mjs';
import { report, SetupError } from './report.mjs';

const MINIMUM_NODE_MAJOR = 20;
const REDIS_MODES = ['required', 'local', 'optional'];
const root = fileURLToPath(new URL('../../', import.meta.url));

/**
 * @param {string} redis one of `REDIS_MODES`
 * @returns {{ isDone: () => boolean, run: () => Promise<void> }[]} in the order in which they build on each other
 */
function setupSteps(redis) {
  return [
    { isDone: () => arePackagesInstalled(root), run: () => installPackages(root) },
    { isDone: () => projectNodeVersion(root) !== undefined, run: () => installNodeRuntime(root) },
    { isDone: () => kernelsAreBuilt(), run: () => buildKernels() },
    {
      isDone: () => redis === 'optional' || isRedisAvailable({ mustBeLocal: redis === 'local' }),
      run: installRedis,
    },
  ];
}

async function setUp() {
  const options = /** @type {const} */ ({
    quiet: { type: 'boolean', default: false },
    redis: { type: 'string', default: 'required' },
  });
  const { quiet, redis } = parseArgs({ options }).values;
  if (!REDIS_MODES.includes(redis)) {
    throw new SetupError(`--redis=${redis} is unknown: use one of ${REDIS_MODES.join(', ')}.`);
  }
  if (Number.parseInt(process.versions.node, 10) < MINIMUM_NODE_MAJOR) {
    throw new SetupError(
      `Node ${MINIMUM_NODE_MAJOR} or later is needed to begin with; this is ${process.version}.`,
    );
  }
  const steps = setupSteps(redis);
  if (!steps.every((step) => step.isDone())) {
    await withSetupLock(root, async () => {
      // Asked again, because the set-up that held the lock before may have done it.
      for (const step of steps) if (!step.isDone()) await step.run();
    });
  }
  if (!quiet) report(`ready, with Node ${projectNodeVersion(root)}.`);
}

try {
  await setUp();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  report(error.message);
  process.exitCode = 1;
}
