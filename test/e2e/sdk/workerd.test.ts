import { describe } from 'vitest';
import { startWorker } from '../../support/worker.ts';
import { describeLibraries } from './suites.ts';
import { useSdkTarget } from './target.ts';

const target = useSdkTarget(async (redisUrl) => {
  const worker = await startWorker({ redisUrl });
  return {
    address: worker.url,
    runBatches: worker.scheduled,
    close: worker.close,
  };
});

describe('on workerd', () => {
  describeLibraries(target);
});
