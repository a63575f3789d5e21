import type {
  AnswerCount,
  AttentionInstanceRecord,
  ExpertInstanceRecord,
  HostRecord,
} from '../protocol/member.ts';
import { answersBetween, answersEnded } from './answer-length.ts';
import { type AttentionWork, attentionWork, variationBetween } from './attention-variation.ts';
import type { DemandSample } from './demand-window.ts';
import type { PoolSizes, SizeBounds } from './solver.ts';

/** What an observation leaves for the next one. JSON-serialisable. */
export interface Counters {
  readonly atMs: number;
  /** Attention instance → output tokens that it had made since its start. */
  readonly tokens: Readonly<Record<string, number>>;
  /** Attention instance → what it had computed; absent in records of versions that did not count it. */
  readonly attention?: Readonly<Record<string, AttentionWork>>;
  /** Attention instance → answers that had ended on it; absent in records of versions that did not count them. */
  readonly answers?: Readonly<Record<string, AnswerCount>>;
}

/** What decoded of late, and how fast. */
export interface DecodingPace {
  /** Mean time of a step without prompt tokens, by what ran in it. */
  readonly stepMs: number;
  /** Sequences that hold a KV slot. */
  readonly batch: number;
  /** Mean length of their contexts, in tokens. */
  readonly context: number;
}

export interface Observation {
  /** Null for the first one, which has nothing to compare with. */
  readonly sample: DemandSample | null;
  readonly counters: Counters;
  /** Instances that serve. */
  readonly ready: PoolSizes;
  /** What the smallest of them hold; a pool of which none serves tells nothing. */
  readonly held: Partial<Pick<SizeBounds, 'sequencesPerAttention' | 'expertSlotsPerInstance'>>;
  /** Null where nothing was made since the last observation, or nothing runs now. */
  readonly decoding: DecodingPace | null;
}

/**
 * What happened since the last observation, from the counters that hosts publish with their heartbeats. An instance that is
 * new counts from its start; one that has gone counts no more.
 *
 * @param queued sequences that no host has taken yet
 */
export function observe(
  hosts: readonly HostRecord[],
  queued: number,
  nowMs: number,
  before: Counters | null,
): Observation {
  const attention = hosts.flatMap((host) => host.attention);
  const tokens = Object.fromEntries(attention.map(({ id, pace }) => [id, pace?.generatedTokens ?? 0]));
  const serving = {
    attention: attention.filter(({ state }) => state === 'ready'),
    experts: hosts.flatMap((host) => host.experts).filter(({ state }) => state === 'ready'),
  };
  const ready = { attention: serving.attention.length, experts: serving.experts.length };
  const held = heldBy(serving.attention, serving.experts);
  const work = attentionWork(attention);
  const answers = answersEnded(attention);
  const counters = { atMs: nowMs, tokens, attention: work, answers };
  if (before === null || nowMs <= before.atMs) return { sample: null, counters, ready, held, decoding: null };
  const made = Object.entries(tokens).reduce((sum, [id, count]) => {
    const counted = before.tokens[id] ?? 0;
    // A count that fell is that of an instance which started anew under its old name.
    return sum + (count >= counted ? count - counted : count);
  }, 0);
  const running = attention.reduce((sum, { slotsInUse }) => sum + slotsInUse, 0);
  const contexts = attention.reduce((sum, { pace }) => sum + (pace?.contextTokens ?? 0), 0);
  const variation = variationBetween(before.attention ?? {}, work);
  const waiting = queued + attention.reduce((sum, instance) => sum + instance.waiting, 0);
  const sample: DemandSample = {
    atMs: nowMs,
    seconds: (nowMs - before.atMs) / 1_000,
    tokens: made,
    waiting,
    context: running === 0 ? null : contexts / running,
    ...(before.answers && { answers: answersBetween(before.answers, answers) }),
    ...(variation !== null && { attentionVariation: variation }),
  };
  const decoding = made === 0 || running === 0 ? null : decodingPace(attention, running, contexts);
  return { sample, counters, ready, held, decoding };
}

function heldBy(
  attention: readonly AttentionInstanceRecord[],
  experts: readonly ExpertInstanceRecord[],
): Observation['held'] {
  const fewest = (instances: readonly { readonly slots: number }[]): number =>
    Math.min(...instances.map(({ slots }) => slots));
  return {
    ...(attention.length > 0 && { sequencesPerAttention: fewest(attention) }),
    ...(experts.length > 0 && { expertSlotsPerInstance: fewest(experts) }),
  };
}

function decodingPace(
  attention: readonly AttentionInstanceRecord[],
  batch: number,
  contexts: number,
): DecodingPace {
  const total = attention.reduce((sum, { pace, slotsInUse }) => sum + slotsInUse * (pace?.stepMs ?? 0), 0);
  return { stepMs: total / batch, batch, context: contexts / batch };
}
