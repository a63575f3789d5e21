import type { ExpertLink } from '../../../gpu-pool/exchange/link.ts';
import { staticPlacement } from '../../../shared/placement/placement.ts';
import type { LayerStep, LayerStepShape } from '../../../shared/protocol/layer-step.ts';
import type { Placement } from '../../../shared/scheduler/layout.ts';
import { type Behaviour, computeTestExpert } from './test-expert.ts';

export interface HarnessOptions {
  /** Expert instances of the peer. */
  readonly instances: number;
  /** Bound that the link is given for one layer step. */
  readonly overdueAfterMs: number;
  /** Placement version of the peer, where it differs from `PLACEMENT_VERSION`. */
  readonly peerVersion?: number;
  /** The peer sends every answer twice. */
  readonly doubleAnswers?: boolean;
}

/** A link with a real peer that can be told how to behave. One per kind of link; the conformance suite runs on each. */
export interface LinkHarness {
  readonly link: ExpertLink;
  /** All experts of the peer; it begins with `compute`. */
  setBehaviour(behaviour: Behaviour): void;
  /** Ends the peer as a crash would, after `afterMs`; resolves when it is gone. */
  losePeer(afterMs: number): Promise<void>;
  /** Layer steps that wait at the peer without having been looked at. */
  waitingSteps(): Promise<number>;
  close(): Promise<void>;
}

export type StartHarness = (options: HarnessOptions) => Promise<LinkHarness>;

export const HOST = 'peer';
export const MODEL = 'conformance';
export const LAYERS = 3;
export const EXPERTS = 9;
/** A time in milliseconds, as versions are. */
export const PLACEMENT_VERSION = Date.UTC(2100, 1);
export const SHAPE: LayerStepShape = { maxRows: 12, hiddenSize: 20, expertsPerToken: 5 };
/** Slots above those that hold each expert once, per instance: so experts have replicas where there are instances for it. */
const SPARE_SLOTS = 2;

export function harnessPlacement(instances: number, version = PLACEMENT_VERSION): Placement {
  return staticPlacement({
    version,
    model: MODEL,
    layers: LAYERS,
    experts: EXPERTS,
    capacity: Math.min(EXPERTS, Math.ceil(EXPERTS / instances) + SPARE_SLOTS),
    instances: Array.from({ length: instances }, (_, id) => ({ id, host: HOST })),
  });
}

/** Fills `step` with rows, distinct experts per row, and gate weights, all from `random` in [0, 1). */
export function fillStep(
  step: LayerStep,
  shape: LayerStepShape,
  experts: number,
  rows: number,
  random: () => number,
): void {
  step.rows = rows;
  const { hiddenSize, expertsPerToken } = shape;
  for (let i = 0; i < rows * hiddenSize; i++) step.hidden[i] = 2 * random() - 1;
  for (let row = 0; row < rows; row++) {
    const ids = Array.from({ length: experts }, (_, expert) => expert);
    for (let choice = 0; choice < expertsPerToken; choice++) {
      const pair = row * expertsPerToken + choice;
      step.expertIds[pair] = ids.splice(Math.floor(random() * ids.length), 1)[0]!;
      step.gateWeights[pair] = random();
    }
  }
}

/**
 * The MoE output `[T, H]` of `step` by its definition: row after row, expert after expert, without any grouping. With
 * `isHeld` the share of a host that holds only some experts.
 */
export function referenceOutput(
  step: LayerStep,
  shape: LayerStepShape,
  isHeld: (expert: number) => boolean = () => true,
): Float32Array {
  const { hiddenSize, expertsPerToken } = shape;
  const output = new Float32Array(step.rows * hiddenSize);
  const expertOutput = new Float32Array(hiddenSize);
  for (let row = 0; row < step.rows; row++) {
    const sum = new Float64Array(hiddenSize);
    const input = step.hidden.slice(row * hiddenSize, (row + 1) * hiddenSize);
    for (let choice = 0; choice < expertsPerToken; choice++) {
      const pair = row * expertsPerToken + choice;
      if (!isHeld(step.expertIds[pair]!)) continue;
      computeTestExpert(step.layer, step.expertIds[pair]!, input, 1, expertOutput);
      for (let i = 0; i < hiddenSize; i++) sum[i]! += step.gateWeights[pair]! * expertOutput[i]!;
    }
    output.set(sum, row * hiddenSize);
  }
  return output;
}
