import type { Command } from 'commander';
import { notEmpty, wholeNumber } from './values.ts';

const DEFAULT_PORT = 8_000;
const HIGHEST_PORT = 65_535;
/** Addresses that mean all interfaces cannot be connected to everywhere; this machine can always be. */
const ANY_INTERFACE = ['0.0.0.0', '::'];

export interface AddressFlags {
  readonly host: string;
  readonly port: number;
}

/** Adds the address on which a gateway listens. */
export function addAddressOptions(command: Command): Command {
  return command
    .option(
      '--port <port>',
      'port of the HTTP API; 0 takes a free one',
      wholeNumber('--port', 0, HIGHEST_PORT),
      DEFAULT_PORT,
    )
    .option(
      '--host <address>',
      'address to listen on; 0.0.0.0 is every interface',
      notEmpty('--host', '127.0.0.1'),
      '127.0.0.1',
    );
}

/** Address for clients on this machine, without a slash at its end. */
export function urlOf(host: string, port: number): string {
  const reachable = ANY_INTERFACE.includes(host) ? 'localhost' : host;
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}

/** A chat completion, to be pasted into a shell. */
export function curlLine(url: string, model: string, question: string): string {
  const body = JSON.stringify({ model, messages: [{ role: 'user', content: question }] });
  const quoted = body.replaceAll("'", "'\\''");
  return `curl ${url}/v1/chat/completions -H 'Content-Type: application/json' -d '${quoted}'`;
}
