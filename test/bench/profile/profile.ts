import { decodeTimes } from '../peer/measure/decode-times.ts';
import { LoadWatch } from '../peer/measure/machine-load.ts';
import { percentile } from '../results.ts';
import { type PackedBenchModel, packedBenchModel } from '../systems/bench-model.ts';
import { drawIcicles } from './icicle.ts';
import { type LoadRun, ProfileBed } from './load-run.ts';
import { SURE_SPAN_MS } from './record-watch.ts';
import { describeBatch, summariseBatch } from './report.ts';

const BATCHES = [1, 32];
/** Tokens of each prompt. */
const CONTEXT = 64;
const REPETITIONS = 5;
/** Tokens of the run that warms up and tells how long a step takes. */
const WARM_UP_TOKENS = 64;
/** Steps that prompts of a whole batch may keep its first and its last sequence apart. */
const STEPS_APART = 48;
/** The model's context has room for them. */
const MOST_TOKENS = 2_000;
/** Time before each run in which the host is idle, to see what else runs. */
const PAUSE_MS = 500;
/** Seeds of one run are apart from those of the next. */
const SEEDS_PER_RUN = 1_000;

const LEGEND =
  'One mean step of the attention instance while all sequences decode, from the end of the step before: the parts are one ' +
  'after the other on its thread and add up to it. Experts are _assisting_, groups that this thread computes itself, and ' +
  '_waiting_, for the groups that the expert instance computes meanwhile. Other things that the expert instance ' +
  'helps with (chunks of the large matrices) are in the times of _pre_, _attention_, _post_ and _LM head_.';

/** Where one decode step of the packed int4 model goes, at batch 1 and 32, through `janus up` and HTTP. */
export async function run({ quick }: { quick: boolean }): Promise<Record<string, unknown>> {
  const model = await packedBenchModel();
  const watch = new LoadWatch();
  const runs = await measure(model, quick ? 1 : REPETITIONS, watch);
  const batches = BATCHES.map((batch) => summariseBatch(batch, runs.get(batch)!));
  return {
    cases: batches.map(({ batch, tokensPerSecond, tpotP50Ms, tpotP99Ms, profile, stepRangeMs, tokens }) => ({
      batch,
      tokensPerSecond,
      tpotP50Ms,
      tpotP99Ms,
      'step ms (least–most of the runs)': `${profile.step.ms.toFixed(2)} (${stepRangeMs.map((ms) => ms.toFixed(2)).join('–')})`,
      steps: profile.steps,
      'tokens per sequence': tokens,
    })),
    machineLoad: watch.result(),
    promptTokens: CONTEXT,
    repetitions: runs.get(BATCHES[0]!)!.length,
    page: {
      markdown: [LEGEND, '![Where a decode step goes](profile.svg)', ...batches.map(describeBatch)].join(
        '\n\n',
      ),
      files: { 'profile.svg': drawIcicles(batches) },
    },
  };
}

/** All batches in turn in each repetition, so that a change of the machine's speed meets them all. */
async function measure(
  { folder, config }: PackedBenchModel,
  repetitions: number,
  watch: LoadWatch,
): Promise<Map<number, LoadRun[]>> {
  const runs = new Map<number, LoadRun[]>(BATCHES.map((batch) => [batch, []]));
  const tokens = new Map<number, number>();
  let seed = 0;
  await using bed = await ProfileBed.start(folder, config.vocabularySize, Math.max(...BATCHES));
  for (const batch of BATCHES) {
    seed += SEEDS_PER_RUN;
    const load = { sequences: batch, context: CONTEXT, tokens: WARM_UP_TOKENS + STEPS_APART, seed };
    const { gapsMs } = decodeTimes((await bed.send(load)).map(({ readAtMs }) => readAtMs));
    // A machine that is disturbed now may be faster later.
    const stepMs = percentile(gapsMs, 0.25);
    tokens.set(batch, Math.min(MOST_TOKENS, STEPS_APART + Math.ceil(SURE_SPAN_MS / stepMs)));
  }
  for (let repetition = 0; repetition < repetitions; repetition++) {
    for (const batch of BATCHES) {
      seed += SEEDS_PER_RUN;
      await watch.pause(PAUSE_MS);
      const load = { sequences: batch, context: CONTEXT, tokens: tokens.get(batch)!, seed };
      runs.get(batch)!.push(await bed.run(load));
      console.error(`batch ${batch}, run ${repetition + 1} of ${repetitions}`);
    }
  }
  return runs;
}
