import { JanusError } from '../../../shared/errors/janus-error.ts';

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1)$/i;

/** Who can connect to the gateway, and whether it may do without keys. */
export interface Listening {
  readonly host: string;
  readonly allowAnonymous: boolean;
}

/** Whether requests need no key where none exists: only this machine can send some, or somebody wants it so. */
export const mayBeAnonymous = ({ host, allowAnonymous }: Listening): boolean =>
  allowAnonymous || LOOPBACK.test(host);

/** @throws {JanusError} when a gateway that nobody could use, as there is no key, would listen to other machines */
export function checkListening(listening: Listening, anyKey: boolean): void {
  if (anyKey || mayBeAnonymous(listening)) return;
  throw new JanusError(
    `Other machines may reach ${listening.host}, and there is no API key: create one with ` +
      '"janus keys create --name <name>", or pass --allow-anonymous to let everybody in, or listen on 127.0.0.1',
  );
}
