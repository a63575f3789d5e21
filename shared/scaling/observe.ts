import type { AttentionInstanceRecord, HostRecord } from '../protocol/member.ts';
import type { DemandSample } from './demand-window.ts';
import type { PoolSizes } from './solver.ts';

/** What an observation leaves for the next one. JSON-serialisable. */
export interface Counters {
  readonly atMs: number;
  /** Attention instance → output tokens that it had made since its start. */
  readonly tokens: Readonly<Record<string, number>>;
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
  const ready = {
    attention: attention.filter(({ state }) => state === 'ready').length,
    experts: hosts.flatMap((host) => host.experts).filter(({ state }) => state === 'ready').length,
  };
  const counters = { atMs: nowMs, tokens };
  if (before === null || nowMs <= before.atMs) return { sample: null, counters, ready, decoding: null };
  const made = Object.entries(tokens).reduce((sum, [id, count]) => {
    const counted = before.tokens[id] ?? 0;
    // A count that fell is that of an instance which started anew under its old name.
    return sum + (count >= counted ? count - counted : count);
  }, 0);
  const running = attention.reduce((sum, { slotsInUse }) => sum + slotsInUse, 0);
  const contexts = attention.reduce((sum, { pace }) => sum + (pace?.contextTokens ?? 0), 0);
  const waiting = queued + attention.reduce((sum, instance) => sum + instance.waiting, 0);
  const sample: DemandSample = {
    atMs: nowMs,
    seconds: (nowMs - before.atMs) / 1_000,
    tokens: made,
    waiting,
    context: running === 0 ? null : contexts / running,
  };
  const decoding = made === 0 || running === 0 ? null : decodingPace(attention, running, contexts);
  return { sample, counters, ready, decoding };
}

function decodingPace(
  attention: readonly AttentionInstanceRecord[],
  batch: number,
  contexts: number,
): DecodingPace {
  const total = attention.reduce((sum, { pace, slotsInUse }) => sum + slotsInUse * (pace?.stepMs ?? 0), 0);
  return { stepMs: total / batch, batch, context: contexts / batch };
}
