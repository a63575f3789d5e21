import { loadModelConfig } from '../../../../gpu-pool/checkpoint/model-folder.ts';
import type { WeightForm } from '../../../../shared/model/config.ts';
import { ensureBenchModel } from '../../model/write-model.ts';
import { pairedRatio } from '../../rounds/statistics.ts';
import { readBandwidth } from '../bandwidth/bandwidth.ts';
import { ensureGguf } from '../gguf/gguf.ts';
import { ensurePeer, PEER_PACKAGE, PEER_VERSION } from '../llama/install.ts';
import { Peer } from '../llama/peer.ts';
import { findBatchedBench, runBatchedBench } from '../native/batched-bench.ts';
import { type Agreement, answerGreedily, countAgreeing } from './agreement.ts';
import { bytesPerStep } from './bytes-per-step.ts';
import { type CellOptions, measureCell } from './cell.ts';
import { LoadWatch } from './machine-load.ts';
import { GGUF_TYPES, type PeerBenchOptions } from './options.ts';
import { ensurePackedModel } from './packed-model.ts';
import { peakMemoryMib } from './peak-memory.ts';
import type { PeerCell, PeerResult, SystemCost } from './result.ts';
import { Janus, type Systems, startSystems } from './systems.ts';

/** Form in which greedy tokens are compared: neither side rounds much. */
const AGREEMENT_FORM: WeightForm = 'f32';
/** Time before each cell in which both systems are idle, to see what else runs. */
const PAUSE_MS = 500;
const BANDWIDTH_THREADS = [1, 2];

/** Tokens/s of one sequence, behind so many tokens, if all that a token needs were read at the bandwidth of the machine. */
type Roof = (context: number) => number;

type CellPlace = Pick<CellOptions, 'phase' | 'sequences' | 'context'>;

/** What all cells have in common. */
interface Bed {
  readonly options: PeerBenchOptions;
  readonly folder: string;
  readonly vocabularySize: number;
  readonly moduleUrl: string;
  readonly log: (line: string) => void;
}

/**
 * Measures Janus and the peer on the same model, in turn.
 *
 * @param log told what is being done
 * @throws JanusError when the peer cannot be installed, or both systems do not compute the same
 */
export async function runPeerBench(
  options: PeerBenchOptions,
  log: (line: string) => void,
): Promise<PeerResult> {
  const moduleUrl = await ensurePeer(log);
  const folder = await ensureBenchModel(options.model, { log });
  const { vocabularySize } = loadModelConfig(folder);
  const bed: Bed = { options, folder, vocabularySize, moduleUrl, log };
  const compared = options.agreementPrompts > 0 ? [AGREEMENT_FORM] : [];
  for (const form of new Set([...options.dtypes, ...compared])) await ggufOf(bed, form);
  const watch = new LoadWatch();
  const bandwidthGbPerS: Record<string, number> = {};
  for (const threads of BANDWIDTH_THREADS) bandwidthGbPerS[threads] = await readBandwidth(threads);
  const agreement = options.agreementPrompts > 0 ? await agree(bed) : null;
  const cells: PeerCell[] = [];
  const costs: SystemCost[] = [];
  for (const form of options.dtypes) {
    const measured = await measureForm(bed, form, watch, Math.max(...Object.values(bandwidthGbPerS)));
    cells.push(...measured.cells);
    costs.push(measured.cost);
  }
  const machineLoad = watch.result();
  if (!machineLoad.quiet) log('warning: the machine was not quiet; see machineLoad');
  const peer = `${PEER_PACKAGE} ${PEER_VERSION}`;
  const { repetitions } = options;
  return { cells, costs, agreement, bandwidthGbPerS, machineLoad, repetitions, peer };
}

const ggufOf = ({ folder, log }: Bed, form: WeightForm): Promise<string> =>
  ensureGguf(folder, GGUF_TYPES[form], log);

/** Both systems one after the other, since in this form they take most memory. */
async function agree(bed: Bed): Promise<Agreement> {
  const { options, folder, vocabularySize, moduleUrl, log } = bed;
  log(`comparing greedy tokens of ${options.agreementPrompts} prompts`);
  const janus = await Janus.start(folder, AGREEMENT_FORM, options.janusFlags);
  const answered = await answerGreedily(janus, vocabularySize, options.agreementPrompts).finally(() =>
    janus.stop(),
  );
  const peer = await Peer.start(moduleUrl, await ggufOf(bed, AGREEMENT_FORM), options.threads);
  const agreement = await countAgreeing(peer, answered).finally(() => peer.stop());
  log(`${agreement.agreeing} of ${agreement.tokens} greedy tokens agree`);
  return agreement;
}

async function measureForm(
  bed: Bed,
  form: WeightForm,
  watch: LoadWatch,
  bandwidthGbPerS: number,
): Promise<{ cells: PeerCell[]; cost: SystemCost }> {
  const { folder, moduleUrl, options, log } = bed;
  const ggufPath = await ggufOf(bed, form);
  const native = await measureNative(options, ggufPath);
  log(`starting both systems in ${form} and ${GGUF_TYPES[form]}`);
  const kvSlots = Math.max(...options.decode.flatMap(({ sequences }) => sequences), 1);
  // Prompts come again in each repetition: what is measured is computing them.
  const janusFlags = ['--kv-slots', String(kvSlots), '--prefix-cache-mib', '0', ...options.janusFlags];
  const { threads } = options;
  const ours = form === 'f32' ? folder : await ensurePackedModel(folder, form, log);
  await using systems = await startSystems({
    folder: ours,
    form,
    janusFlags,
    moduleUrl,
    ggufPath,
    threads,
  });
  // Decoding begins behind the prompt.
  const roof: Roof = (context) =>
    (bandwidthGbPerS * 1e9) / bytesPerStep(ours, form, 1, context + options.decodeTokens / 2);
  const cells: PeerCell[] = [];
  for (const place of cellPlaces(options)) {
    await watch.pause(PAUSE_MS);
    const cell = await measurePlace(bed, systems, form, place, native.get(nameOf(place)), roof);
    cells.push(cell);
    const { ours, oursInner, peerAsItComes, peerTuned } = cell;
    const speeds = { ours, oursInner, peerAsItComes, peerTuned };
    log(`${form} ${nameOf(place)}: ${JSON.stringify(speeds)}`);
  }
  const { janus, peer } = systems;
  return {
    cells,
    cost: {
      dtype: form,
      oursLoadMs: Math.round(janus.loadMs),
      peerLoadMs: Math.round(peer.loadMs),
      oursPeakMib: janus.peakMemoryMib,
      peerPeakMib: peakMemoryMib(peer.processId),
    },
  };
}

const nameOf = ({ phase, sequences, context }: CellPlace): string => `${phase} ${sequences} × ${context}`;

function cellPlaces({ prefillTokens, decode }: PeerBenchOptions): CellPlace[] {
  const prefill: CellPlace[] =
    prefillTokens === 0 ? [] : [{ phase: 'prefill', sequences: 1, context: prefillTokens }];
  const decodes = decode.flatMap(({ context, sequences }) =>
    sequences.map((count): CellPlace => ({ phase: 'decode', sequences: count, context })),
  );
  return [...prefill, ...decodes];
}

async function measurePlace(
  { options, vocabularySize }: Bed,
  systems: Systems,
  dtype: WeightForm,
  place: CellPlace,
  native: number | undefined,
  roof: Roof,
): Promise<PeerCell> {
  const { decodeTokens, repetitions } = options;
  const ways = await measureCell(systems, { ...place, decodeTokens, repetitions, vocabularySize });
  const ours = ways.ours.tokensPerSecond.median;
  const peerAsItComes = ways.asItComes.tokensPerSecond.median;
  const peerTuned = ways.tuned.tokensPerSecond.median;
  const better = peerTuned >= peerAsItComes ? ways.tuned : ways.asItComes;
  const peer = better.tokensPerSecond.median;
  return {
    dtype,
    peerDtype: GGUF_TYPES[dtype],
    ...place,
    ours,
    oursInner: ways.oursInner.tokensPerSecond.median,
    peer,
    ratio: ours / peer,
    ratioInRounds: pairedRatio(ways.ours.rounds, better.rounds),
    httpOverInner: pairedRatio(ways.ours.rounds, ways.oursInner.rounds),
    ...(place.phase === 'decode' && place.sequences === 1 && { rooflineShare: ours / roof(place.context) }),
    peerAsItComes,
    peerTuned,
    ...(native !== undefined && { native }),
    ways,
  };
}

/** Speeds of llama.cpp's own benchmark, in tokens/s by the name of the cell; none where it is not installed. */
async function measureNative(options: PeerBenchOptions, modelPath: string): Promise<Map<string, number>> {
  const speeds = new Map<string, number>();
  const program = findBatchedBench();
  if (program === undefined) return speeds;
  const { threads, prefillTokens, decodeTokens, decode } = options;
  if (prefillTokens > 0) {
    const load = { modelPath, promptTokens: prefillTokens, tokens: 1, sequences: [1], threads };
    const [speed] = await runBatchedBench(program, load);
    const name = nameOf({ phase: 'prefill', sequences: 1, context: prefillTokens });
    if (speed !== undefined) speeds.set(name, speed.prefillTokensPerSecond);
  }
  for (const { context, sequences } of decode) {
    const load = { modelPath, promptTokens: context, tokens: decodeTokens, sequences, threads };
    for (const speed of await runBatchedBench(program, load)) {
      const name = nameOf({ phase: 'decode', sequences: speed.sequences, context });
      speeds.set(name, speed.decodeTokensPerSecond);
    }
  }
  return speeds;
}
