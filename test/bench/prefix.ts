import { basename } from 'node:path';
import { loadModelConfig } from '../../gpu-pool/checkpoint/model-folder.ts';
import { BLOCK_TOKENS } from '../../shared/prefix/block-key.ts';
import { BENCH_MODELS } from './model/options.ts';
import { ensureBenchModel } from './model/write-model.ts';
import { JanusProcess } from './peer/janus/janus-process.ts';
import { LoadWatch } from './peer/measure/machine-load.ts';
import { ensurePackedModel } from './peer/measure/packed-model.ts';
import { randomTokens } from './peer/measure/prompts.ts';
import { readPrefixCache, residentMib } from './prefix/cache-memory.ts';
import { answerGreedily, type GreedyAnswer } from './prefix/greedy-answer.ts';
import { median } from './results.ts';

/**
 * What kept prefixes bring: TTFT of two prompts with the same beginning, through HTTP, on a host with a prefix cache and on one
 * without, which must give the same tokens; and the memory that the cache takes.
 */
const SHARED_TOKENS = 400;
const OWN_TOKENS = 16;
const ANSWER_TOKENS = 16;
/** Most of the first TTFT that the second may take. */
const WANTED_RATIO = 0.25;
/** Pairs are counted from here; the first one warms up and is not kept. */
const WARM_UP = -1;
const FULL = { pairs: 9, distinctPrompts: 200 };
const QUICK = { pairs: 2, distinctPrompts: 20 };
/** Each distinct prompt leaves two blocks in the cache. */
const DISTINCT_TOKENS = 2 * BLOCK_TOKENS + OWN_TOKENS;
const FIRST_DISTINCT_SEED = 1_000_000;
/** Time before the pairs in which the hosts are idle, to see what else runs. */
const PAUSE_MS = 500;
const BYTES_PER_MIB = 2 ** 20;

/** As many threads as a peer of two has. */
const INSTANCES = ['--attention', '1', '--experts', '1'];
/** Hosts by whether they have a prefix cache. */
const HOSTS = ['on', 'off'] as const;
type HostName = (typeof HOSTS)[number];

/** Answers to two prompts with the same beginning, one asked after the other. */
interface Pair {
  readonly first: GreedyAnswer;
  readonly second: GreedyAnswer;
}

export async function run({ quick }: { quick: boolean }): Promise<Record<string, unknown>> {
  const { pairs, distinctPrompts } = quick ? QUICK : FULL;
  const folder = await ensureBenchModel(BENCH_MODELS.default);
  const packed = await ensurePackedModel(folder, 'int4', console.error);
  const { vocabularySize } = loadModelConfig(packed);
  const tokens = (count: number, seed: number): readonly number[] =>
    randomTokens(vocabularySize, 1, count, seed)[0]!;
  await using stack = new AsyncDisposableStack();
  const start = async (...flags: string[]): Promise<JanusProcess> => {
    const host = await JanusProcess.start(['--model', packed, ...INSTANCES, ...flags]);
    stack.defer(() => host.stop());
    return host;
  };
  const hosts = { on: await start(), off: await start('--prefix-cache-mib', '0') };
  const ask = (name: HostName, prompt: readonly number[], answerTokens: number) =>
    answerGreedily(hosts[name].url, basename(packed), prompt, answerTokens);

  const emptyMib = residentMib(hosts.on.processId);
  const watch = new LoadWatch();
  await watch.pause(PAUSE_MS);
  const measured: Record<HostName, Pair[]> = { on: [], off: [] };
  for (let pair = WARM_UP; pair < pairs; pair++) {
    const seed = 10 * (pair + 1);
    const shared = tokens(SHARED_TOKENS, seed);
    const [one, other] = [1, 2].map((own) => [...shared, ...tokens(OWN_TOKENS, seed + own)]);
    // In turn, so that a change of the machine's speed meets both hosts.
    for (const name of pair % 2 === 0 ? HOSTS : HOSTS.toReversed()) {
      const first = await ask(name, one!, ANSWER_TOKENS);
      const second = await ask(name, other!, ANSWER_TOKENS);
      if (pair !== WARM_UP) measured[name].push({ first, second });
    }
  }
  const memory = await measureMemory(hosts.on, distinctPrompts, (i) =>
    ask('on', tokens(DISTINCT_TOKENS, FIRST_DISTINCT_SEED + i), 1),
  );
  return {
    cases: HOSTS.map((name) => tableRow(name, measured[name])),
    ...compare(measured),
    memory: { emptyProcessMib: emptyMib, ...memory },
    machineLoad: watch.result(),
    pairs,
    prompt: `${SHARED_TOKENS} common tokens and ${OWN_TOKENS} of its own`,
  };
}

/** Median TTFT of the first or second prompts, in milliseconds. */
const ttftMs = (pairs: readonly Pair[], prompt: keyof Pair): number =>
  median(pairs.map((pair) => pair[prompt].firstTokenMs));

function tableRow(name: HostName, pairs: readonly Pair[]): Record<string, string | number> {
  const [firstTtftMs, secondTtftMs] = [ttftMs(pairs, 'first'), ttftMs(pairs, 'second')];
  const ratios = pairs.map(({ first, second }) => second.firstTokenMs / first.firstTokenMs);
  return {
    prefixCache: name,
    firstTtftMs,
    secondTtftMs,
    ratio: secondTtftMs / firstTtftMs,
    leastRatio: Math.min(...ratios),
    mostRatio: Math.max(...ratios),
    cachedTokensFirst: median(pairs.map(({ first }) => first.cachedTokens)),
    cachedTokensSecond: median(pairs.map(({ second }) => second.cachedTokens)),
  };
}

/** Whether the cache brings what is wanted of it, and changes no token. */
function compare({ on, off }: Readonly<Record<HostName, readonly Pair[]>>) {
  const ratio = ttftMs(on, 'second') / ttftMs(on, 'first');
  const texts = (pairs: readonly Pair[]) => pairs.flatMap(({ first, second }) => [first.text, second.text]);
  const plain = texts(off);
  const same = texts(on).filter((text, i) => text === plain[i]).length;
  return {
    wanted: { ratio: WANTED_RATIO, met: ratio <= WANTED_RATIO },
    answersAsWithout: `${same} of ${plain.length}, ${ANSWER_TOKENS} greedy tokens each`,
  };
}

/** Memory of the cache, and of the whole process, while prompts come of which no two begin alike. */
async function measureMemory(
  { processId, redisUrl }: JanusProcess,
  distinctPrompts: number,
  askDistinct: (index: number) => Promise<GreedyAnswer>,
) {
  const half = Math.floor(distinctPrompts / 2);
  for (let i = 0; i < half; i++) await askDistinct(i);
  const halfWayProcessMib = residentMib(processId);
  for (let i = half; i < distinctPrompts; i++) await askDistinct(i);
  const { blocks, bytes, maxBytes, evictions } = await readPrefixCache(redisUrl);
  return {
    distinctPrompts,
    tokensEach: DISTINCT_TOKENS,
    blocks,
    evictions,
    cacheMib: bytes / BYTES_PER_MIB,
    boundMib: maxBytes / BYTES_PER_MIB,
    halfWayProcessMib,
    processMib: residentMib(processId),
  };
}
