import { describeAiSdk } from './ai-sdk.ts';
import { describeLangChain } from './langchain.ts';
import { describeOpenAINode } from './openai-node.ts';
import { describeOpenAIPython } from './openai-python.ts';
import type { SdkTarget } from './target.ts';

/** Every client's library at its typical calls. */
export function describeLibraries(target: () => SdkTarget): void {
  describeOpenAINode(target);
  describeOpenAIPython(target);
  describeAiSdk(target);
  describeLangChain(target);
}
