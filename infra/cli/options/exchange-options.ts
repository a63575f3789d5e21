import { hostname } from 'node:os';
import { type Command, Option } from 'commander';
import {
  DEFAULT_EXCHANGE,
  EXCHANGE_MODES,
  type ExchangeMode,
  type ExchangeOptions,
} from '../../../gpu-pool/exchange/exchange-options.ts';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { notEmpty, oneOf, wholeNumber } from './values.ts';

const HIGHEST_PORT = 65_535;

export interface ExchangeFlags {
  readonly exchange: ExchangeMode;
  readonly node: string;
  readonly exchangeHost: string;
  readonly exchangePort: number;
  readonly exchangeAdvertise?: string;
}

/** Adds how layer steps travel between hosts. */
export function addExchangeOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--exchange <mode>', `role attention, way to expert hosts: ${EXCHANGE_MODES.join(', ')}`)
        .argParser(oneOf('--exchange', EXCHANGE_MODES))
        .default(DEFAULT_EXCHANGE.mode),
    )
    .option(
      '--node <name>',
      'hosts with the same name use Unix sockets between them',
      notEmpty('--node', hostname()),
      hostname(),
    )
    .option(
      '--exchange-host <address>',
      'role experts: address to listen on for attention hosts of other nodes',
      notEmpty('--exchange-host', DEFAULT_EXCHANGE.listen.host),
      DEFAULT_EXCHANGE.listen.host,
    )
    .option(
      '--exchange-port <port>',
      'role experts: port for them; 0 takes a free one',
      wholeNumber('--exchange-port', 0, HIGHEST_PORT),
      DEFAULT_EXCHANGE.listen.port,
    )
    .option('--exchange-advertise <host:port>', 'role experts: address that they are told instead');
}

/** @throws JanusError when the advertised address is none */
export function toExchangeOptions(flags: ExchangeFlags): ExchangeOptions {
  return {
    mode: flags.exchange,
    node: flags.node,
    listen: { host: flags.exchangeHost, port: flags.exchangePort },
    advertise: flags.exchangeAdvertise === undefined ? null : parseAddress(flags.exchangeAdvertise),
  };
}

function parseAddress(text: string): { host: string; port: number } {
  const [, host, digits] = /^(.+):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (host === undefined || port < 1 || port > HIGHEST_PORT) {
    throw new JanusError(`--exchange-advertise is ${text}; write it as host:port.`);
  }
  return { host, port };
}
