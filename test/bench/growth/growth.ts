import { LoadWatch } from '../peer/measure/machine-load.ts';
import { markdownTable } from '../results.ts';
import { type ContextOptions, measureContexts } from './contexts.ts';
import { type ExpertsOptions, measureExperts } from './experts.ts';

interface GrowthOptions {
  readonly contexts: ContextOptions;
  readonly experts: ExpertsOptions;
}

const FULL: GrowthOptions = {
  contexts: { contexts: [64, 256, 1_024], sequences: [1, 16], tokens: 48, rounds: 5 },
  experts: { models: ['experts16', 'default', 'experts128'], tokens: 48, rounds: 9 },
};
const QUICK: GrowthOptions = {
  contexts: { contexts: [64, 256], sequences: [1, 4], tokens: 24, rounds: 1 },
  experts: { models: ['experts16', 'default'], tokens: 24, rounds: 2 },
};

/** What makes a decode step slower and should not, or only as far as it must: longer contexts, and more experts of which as many work. */
export async function run({ quick }: { quick: boolean }): Promise<Record<string, unknown>> {
  const options = quick ? QUICK : FULL;
  const watch = new LoadWatch();
  const { cases, bandwidthGbPerS } = await measureContexts(options.contexts, watch);
  const experts = await measureExperts(options.experts, watch);
  return {
    cases,
    bandwidthGbPerS,
    experts,
    machineLoad: watch.result(),
    page: {
      markdown: `One sequence, by number of experts:\n\n${markdownTable(experts.map((each) => ({ ...each })))}`,
      files: {},
    },
  };
}
