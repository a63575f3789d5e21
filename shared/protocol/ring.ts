import type { TokenEvent } from './token-event.ts';

/** What a host tells a gateway of one request: the events that it has just written to the request's token stream. */
export interface Ring {
  readonly requestId: string;
  /** Id of the last entry that this host wrote to the stream before these events; '' where it has written none. */
  readonly beforeId: string;
  readonly events: readonly TokenEvent[];
}

/** A ring whose events are JSON already. */
export interface WrittenRing extends Omit<Ring, 'events'> {
  readonly events: readonly string[];
}

/** Several rings as one message on a gateway's channel. */
export const ringMessage = (rings: readonly WrittenRing[]): string =>
  `[${rings
    .map(({ requestId, beforeId, events }) => `["${requestId}","${beforeId}",${events.join(',')}]`)
    .join(',')}]`;

/** Tells each ring of such a message. */
export function readRings(
  message: string,
  take: (requestId: string, beforeId: string, events: readonly TokenEvent[]) => void,
): void {
  const rings = JSON.parse(message) as [string, string, ...TokenEvent[]][];
  for (const [requestId, beforeId, ...events] of rings) take(requestId, beforeId, events);
}
