import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../../clock.ts';
import type { BatchRecord } from '../batch.ts';
import type { BatchLimits } from '../limits.ts';
import { type BatchClaims, type Claim, LeaseLostError } from './claims.ts';

const MS_PER_S = 1_000;

/** A claim while it lasts. */
export interface Lease {
  readonly claim: Claim;
  /** Aborts when the claim is lost or this process ends: then nothing may be recorded any more. */
  readonly lost: AbortSignal;
  /** Aborts when the claim is lost, though not when this process ends. */
  readonly gone: AbortSignal;
  /** Aborts when the batch was cancelled or has expired: then no line may be begun any more. */
  readonly stop: AbortSignal;
  readonly isExpired: () => boolean;
  /** Ends the renewals. */
  readonly end: () => Promise<void>;
}

export interface LeaseDependencies {
  readonly claims: BatchClaims;
  readonly clock: Clock;
  readonly limits: Pick<BatchLimits, 'leaseMs' | 'heartbeatMs'>;
  /** Aborts when this process ends. */
  readonly closing: AbortSignal;
}

/** A signal that any number of lines may listen to. */
export function widely(...signals: AbortSignal[]): AbortSignal {
  const signal = AbortSignal.any(signals);
  setMaxListeners(0, signal);
  return signal;
}

/** Keeps a claim that was just taken. While Redis is away the claim counts as kept: recording tells if it was not. */
export async function keepLease(
  { claims, clock, limits, closing }: LeaseDependencies,
  batch: BatchRecord,
  claim: Claim,
): Promise<Lease> {
  const lost = new AbortController();
  const stop = new AbortController();
  const ended = new AbortController();
  const isExpired = (): boolean => clock.nowMs() >= batch.expiresAtS * MS_PER_S;

  const beat = async (): Promise<void> => {
    if (isExpired()) stop.abort();
    const status = await claims.renew(claim, limits.leaseMs).catch(() => null);
    if (status === undefined) lost.abort(new LeaseLostError());
    else if (status === 'cancelling') stop.abort();
  };
  const beatOn = async (): Promise<void> => {
    while (!ended.signal.aborted) {
      await sleep(limits.heartbeatMs, undefined, { signal: ended.signal }).catch(() => {});
      if (!ended.signal.aborted) await beat();
    }
  };

  await beat();
  const beating = beatOn();
  return {
    claim,
    lost: widely(lost.signal, closing),
    gone: lost.signal,
    stop: widely(stop.signal),
    isExpired,
    async end() {
      ended.abort();
      await beating;
    },
  };
}
