import { hostname } from 'node:os';

/** How the second phase of the exchange goes, between hosts. */
export const EXCHANGE_MODES = ['auto', 'direct', 'relay', 'one-phase', 'socket', 'redis'] as const;
/**
 * - `auto`: directly or through the relay, by predicted cost; directly over sockets where the host has one
 * - `direct`, `relay`: pins the regime
 * - `socket`, `redis`: pins the regime `direct` and its link
 * - `one-phase`: every attention instance sends to every expert instance; the baseline of the paper
 */
export type ExchangeMode = (typeof EXCHANGE_MODES)[number];

export interface ExchangeOptions {
  readonly mode: ExchangeMode;
  /** Name of the node: hosts with the same one reach each other by Unix sockets. */
  readonly node: string;
  /** Address on which an expert host listens for TCP; `port` 0 takes any free one. */
  readonly listen: { readonly host: string; readonly port: number };
  /** TCP address that peers are told instead of the own one, as behind a proxy. */
  readonly advertise: { readonly host: string; readonly port: number } | null;
}

export const DEFAULT_EXCHANGE: ExchangeOptions = {
  mode: 'auto',
  node: hostname(),
  listen: { host: '127.0.0.1', port: 0 },
  advertise: null,
};
