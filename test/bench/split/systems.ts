import type { ExchangeMode } from '../../../gpu-pool/exchange/exchange-options.ts';
import { Janus } from '../peer/measure/systems.ts';
import type { DecodingSystem } from '../rounds/decode.ts';
import { FORM } from '../systems/bench-model.ts';
import { TwoHosts } from '../systems/two-hosts.ts';

/** Room for the prompts of the largest batch, kept so that rounds only decode. */
const COMMON_FLAGS = ['--kv-slots', '32', '--prefix-cache-mib', '512'];
const ONE_ATTENTION = ['--attention', '1'];

/** @param processors as `taskset -c` takes them */
type Start = (folder: string, processors: string) => Promise<DecodingSystem>;

const oneHost =
  (flags: readonly string[]): Start =>
  (folder, processors) =>
    Janus.start(folder, FORM, [...ONE_ATTENTION, ...COMMON_FLAGS, ...flags], { processors });

const twoHosts =
  (exchange: ExchangeMode, experts: number): Start =>
  (folder, processors) =>
    TwoHosts.start({ folder, exchange, experts, attentionFlags: COMMON_FLAGS, processors });

/** One of the systems that are compared. */
export interface Competitor {
  readonly start: Start;
  /** Least ratio to the first system that is wanted, by number of sequences; absent where it is only reported. */
  readonly wanted?: (sequences: number) => number;
}

/** Systems that are measured in turn, and compared with the first of them. */
export interface Comparison {
  readonly processors: string;
  readonly systems: Readonly<Record<string, Competitor>>;
}

const ONE_EXPERT = oneHost(['--experts', '1']);
const overMonolith = (sequences: number): number => (sequences === 1 ? 0.95 : 1);
const overOneHost = (): number => 0.85;

const separated = (wanted?: Competitor['wanted']): Comparison['systems'] => ({
  monolith: { start: oneHost(['--monolith']) },
  '1A1E': { start: ONE_EXPERT, ...(wanted && { wanted }) },
  '1A2E': { start: oneHost(['--experts', '2']), ...(wanted && { wanted }) },
});

/**
 * The monolith computes in one thread, the pools in two or three: on one processor that is no advantage, so there it shows what
 * separating them costs, and on two what a user gets. Of two hosts mostly one computes at a time, so one of these layouts has
 * an expert instance for each processor.
 */
export const COMPARISONS: readonly Comparison[] = [
  { processors: '0,1', systems: separated() },
  { processors: '0', systems: separated(overMonolith) },
  {
    processors: '0,1',
    systems: {
      '1A1E': { start: ONE_EXPERT },
      'sockets 1A+1E': { start: twoHosts('socket', 1), wanted: overOneHost },
      'sockets 1A+2E': { start: twoHosts('socket', 2), wanted: overOneHost },
      'Redis lists 1A+1E': { start: twoHosts('redis', 1) },
    },
  },
];
