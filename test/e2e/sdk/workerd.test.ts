import { describe } from 'vitest';
import { startWorker } from '../../support/worker.ts';
import { describeAiSdk } from './ai-sdk.ts';
import { describeLangChain } from './langchain.ts';
import { describeOpenAINode } from './openai-node.ts';
import { describeOpenAIPython } from './openai-python.ts';
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
  describeOpenAINode(target);
  describeOpenAIPython(target);
  describeAiSdk(target);
  describeLangChain(target);
});
