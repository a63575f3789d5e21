import type { HostRecord } from '../protocol/member.ts';

/** How fast the attention instances of a model that are ready get on, all together. */
export interface PoolPace {
  readonly instances: number;
  /** KV slots in all. */
  readonly slots: number;
  /** Means over the instances, as `PaceRecord` has them. */
  readonly stepMs: number;
  readonly promptTokenMs: number;
  readonly promptTokens: number;
  readonly promptRowsPerStep: number;
  /** Null until some sequence has ended. */
  readonly sequenceMs: number | null;
  /** Of all instances together. */
  readonly pendingPromptTokens: number;
}

/** A sequence that is about to be queued. */
export interface Arrival {
  readonly promptTokens: number;
  /** Sequences that hosts hold. */
  readonly heldSequences: number;
  /** Sequences that wait and will be taken before it. */
  readonly sequencesBefore: number;
}

/** Predicted time to the first token, and its parts, in milliseconds. */
export interface FirstTokenPrediction {
  /** Until it has a KV slot. */
  readonly queueMs: number;
  /** From then on, until the prompts before its own are computed. */
  readonly promptsBeforeMs: number;
  /** For its own prompt and the first token. */
  readonly promptMs: number;
  readonly firstTokenMs: number;
}

/** What the hosts of a model tell of their pace; null where none has computed anything yet. */
export function poolPace(hosts: readonly HostRecord[]): PoolPace | null {
  const ready = hosts.flatMap(({ attention }) => attention.filter(({ state }) => state === 'ready'));
  const paces = ready.flatMap(({ pace }) => (pace === undefined ? [] : [pace]));
  if (paces.length === 0) return null;
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const mean = (values: readonly number[]): number => sum(values) / values.length;
  const sequenceMs = paces.flatMap((pace) => (pace.sequenceMs === null ? [] : [pace.sequenceMs]));
  return {
    instances: ready.length,
    slots: sum(ready.map(({ slots }) => slots)),
    stepMs: mean(paces.map((pace) => pace.stepMs)),
    promptTokenMs: mean(paces.map((pace) => pace.promptTokenMs)),
    promptTokens: mean(paces.map((pace) => pace.promptTokens)),
    promptRowsPerStep: mean(paces.map((pace) => pace.promptRowsPerStep)),
    sequenceMs: sequenceMs.length === 0 ? null : mean(sequenceMs),
    pendingPromptTokens: sum(paces.map((pace) => pace.pendingPromptTokens)),
  };
}

/**
 * Predicts when a sequence that is queued now has its first token.
 *
 * Slots become free one after the other, each instance computing its share of the prompts that come before: while the
 * sequence waits for its slot, those prompts are computed as well, so only what is left of them counts on top. Nothing is
 * taken off for prompts that are kept, whose number is not known before.
 *
 * @returns null where a slot must become free, and it is not known how long that takes
 */
export function predictFirstToken(pace: PoolPace, arrival: Arrival): FirstTokenPrediction | null {
  const { instances, slots, sequenceMs } = pace;
  const { promptTokens, heldSequences, sequencesBefore } = arrival;
  const slotsToWaitFor = Math.max(0, heldSequences + sequencesBefore + 1 - slots);
  if (slotsToWaitFor > 0 && sequenceMs === null) return null;
  const queueMs = slotsToWaitFor === 0 ? 0 : (slotsToWaitFor * (sequenceMs ?? 0)) / slots;

  const tokensBefore = pace.pendingPromptTokens + sequencesBefore * pace.promptTokens;
  const promptsBeforeMs = Math.max(0, promptMs(pace, tokensBefore / instances) - queueMs);
  const ownMs = promptMs(pace, promptTokens);
  return { queueMs, promptsBeforeMs, promptMs: ownMs, firstTokenMs: queueMs + promptsBeforeMs + ownMs };
}

/** Time of one instance for so many prompt tokens, in steps that hold no more than so many. */
const promptMs = ({ stepMs, promptTokenMs, promptRowsPerStep }: PoolPace, tokens: number): number =>
  tokens * promptTokenMs + Math.ceil(tokens / promptRowsPerStep) * stepMs;
