import type { ExchangeMode } from '../../../gpu-pool/exchange/exchange-options.ts';
import type { GatePlacement } from '../../../shared/model/config.ts';
import type { SchedulerName } from '../../../shared/scheduler/scheduling.ts';
import { type FleetOptions, GATES } from '../../support/nodes/fleet.ts';

/** 1PC: every attention instance exchanges with every expert instance by itself. 2PC: hosts do, once for all their instances. */
export type Phases = '1PC' | '2PC';

/** What is varied in the ablation, but for rows and delay. */
export interface Configuration {
  readonly phases: Phases;
  readonly gate: GatePlacement;
  readonly scheduler: SchedulerName;
  readonly exchange: ExchangeMode;
}

/** Schedulers beside AEBS. */
const OTHER_SCHEDULERS: readonly SchedulerName[] = ['optimal', 'token-balanced', 'random', 'eplb'];

/** What a user gets who asks for nothing; every other configuration changes some of it. */
export const REFERENCE: Configuration = {
  phases: '2PC',
  gate: 'attention',
  scheduler: 'aebs',
  exchange: 'auto',
};

/** Configurations that are compared with each other, and so are measured in turn. */
export const GROUPS: readonly (readonly Configuration[])[] = [
  [
    ...GATES.map((gate) => ({ ...REFERENCE, phases: '1PC', gate, exchange: 'one-phase' }) as const),
    ...GATES.map((gate) => ({ ...REFERENCE, gate })),
    ...(['direct', 'relay'] as const).map((exchange) => ({ ...REFERENCE, exchange })),
  ],
  [REFERENCE, ...OTHER_SCHEDULERS.map((scheduler) => ({ ...REFERENCE, scheduler }))],
];

/** Instances of each host, one host on each of four nodes. */
export const ATTENTION_HOSTS = [2, 2];
export const EXPERT_HOSTS = [2, 2];
export const NODES = ATTENTION_HOSTS.length + EXPERT_HOSTS.length;
/** Half of the model's 32 experts fit on each of four instances, so every expert has two replicas to choose from. */
const SLOTS = 16;
/** Room for prefill beside 128 decoding rows, the most that an instance gets here. */
const TOKEN_BUDGET = 256;
const ATTENTION_INSTANCES = ATTENTION_HOSTS.reduce((sum, count) => sum + count, 0);

export const nameOf = ({ phases, gate, scheduler, exchange }: Configuration): string =>
  `${phases}-${gate}-${scheduler}-${exchange}`;

/** @param rows sequences that are to decode at once: there are KV slots for no more, so that every instance gets as many */
export function fleetOptions(configuration: Configuration, rows: number): FleetOptions {
  const { gate, scheduler, exchange } = configuration;
  return {
    name: nameOf(configuration),
    attention: ATTENTION_HOSTS,
    experts: EXPERT_HOSTS,
    exchange,
    gate,
    scheduler,
    slots: SLOTS,
    kvSlots: rows / ATTENTION_INSTANCES,
    tokenBudget: TOKEN_BUDGET,
  };
}
