import { counted } from '../text/counted.ts';

/** A number of instances, or `auto`: as many as suit the cores. */
export type InstanceCount = number | 'auto';

/** What computes a model's matrices: our WebAssembly kernels, or ONNX Runtime. */
export type Provider = 'kernels' | 'onnx-runtime';

/** A host that holds both pools and is to be sized. */
export interface SizingProblem {
  /** Cores that the process may use, which can be fewer than the machine has. */
  readonly cores: number;
  /** What computes the experts of most layers, and what attention. */
  readonly providers: { readonly experts: Provider; readonly attention: Provider };
  /** E, logical experts per layer. */
  readonly experts: number;
  /** C, replica slots per expert instance and layer; null where they follow from the number of instances. */
  readonly capacity: number | null;
  /** Attention instances whose weights and KV caches there is room for. */
  readonly attentionLimit: number;
  /** What `--attention` and `--experts` say. */
  readonly asked: { readonly attention: InstanceCount; readonly experts: InstanceCount };
}

/** How many instances of each kind a host holds. */
export interface InstanceChoice {
  readonly attention: number;
  readonly experts: number;
  /** Why, in words and numbers. */
  readonly reason: string;
}

interface Count {
  readonly count: number;
  readonly why: string;
}

/** Cores whose experts one attention instance keeps busy. An estimate: it matters from 12 cores on. */
const CORES_PER_ATTENTION_INSTANCE = 8;
/** The only number of cores on which layouts were measured against each other. */
const MEASURED_CORES = 2;

/**
 * Chooses how many attention and expert instances, which are threads that compute one thing at a time, one host holds.
 *
 * - Where the kernels compute experts, an attention thread computes some of them instead of waiting, so that every thread is
 *   busy and one thread per core is best: attention + experts = cores.
 * - Where ONNX Runtime does, the layers of a sequence need attention and experts in turn, and attention threads sleep while
 *   experts are computed: experts = cores.
 * - One attention instance serves about eight cores. Only two cores were measured (1 + 1 beats 1 + 2 with the kernels, 1 + 2
 *   beats 1 + 1 with ONNX Runtime); the rest is extrapolated, and the reason says so.
 *
 * A count that was asked for is taken as it is. No more expert instances are chosen than a layer step can activate experts
 * (n_e ≤ E), and no fewer than hold all experts (n_e ≥ ⌈E/C⌉).
 */
export function chooseInstances(problem: SizingProblem): InstanceChoice {
  const { cores, asked } = problem;
  const attention = chooseAttention(problem);
  const experts = chooseExperts(problem, attention.count);
  const parts = [
    counted(cores, 'core'),
    `${counted(attention.count, 'attention instance')} (${attention.why})`,
    `${counted(experts.count, 'expert instance')} (${experts.why})`,
  ];
  const chosen = asked.attention === 'auto' || asked.experts === 'auto';
  if (chosen && cores !== MEASURED_CORES) parts.push(`extrapolated from ${MEASURED_CORES} cores`);
  return { attention: attention.count, experts: experts.count, reason: parts.join('; ') };
}

function chooseAttention({ cores, attentionLimit, asked }: SizingProblem): Count {
  if (asked.attention !== 'auto') return { count: asked.attention, why: 'set by --attention' };
  const wanted = Math.max(1, Math.round(cores / CORES_PER_ATTENTION_INSTANCE));
  const count = Math.max(1, Math.min(wanted, attentionLimit));
  return {
    count,
    why:
      count < wanted
        ? 'no room for the weights and KV cache of another'
        : `one for about ${CORES_PER_ATTENTION_INSTANCE} cores`,
  };
}

function chooseExperts(problem: SizingProblem, attention: number): Count {
  const { experts, capacity, asked } = problem;
  if (asked.experts !== 'auto') return { count: asked.experts, why: 'set by --experts' };
  const wanted = expertsForCores(problem, attention);
  const least = capacity === null ? 1 : Math.ceil(experts / capacity);
  if (wanted.count < least) {
    return { count: least, why: `the fewest that hold ${experts} experts in ${capacity} slots each` };
  }
  if (wanted.count > experts) return { count: experts, why: `one for each of ${experts} experts` };
  return wanted;
}

function expertsForCores({ cores, providers }: SizingProblem, attention: number): Count {
  if (providers.experts === 'onnx-runtime') {
    return { count: cores, why: 'one per core: with ONNX Runtime attention and experts take turns' };
  }
  if (attention >= cores) return { count: 1, why: 'the least' };
  const help =
    providers.attention === 'kernels'
      ? 'attention and expert threads help each other'
      : 'attention threads compute experts while they wait';
  return { count: cores - attention, why: `one thread per core: with the kernels ${help}` };
}
