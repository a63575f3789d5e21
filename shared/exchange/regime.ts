/** The two ways of the exchange's second phase. */
export const REGIMES = ['direct', 'relay'] as const;
export type Regime = (typeof REGIMES)[number];
