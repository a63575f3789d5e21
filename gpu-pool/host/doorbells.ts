import type { SequenceJob } from '../../shared/protocol/request.ts';
import { ringMessage, type WrittenRing } from '../../shared/protocol/ring.ts';

/** A request whose reader listens. */
interface Door {
  readonly channel: string;
  sequences: number;
  /** Of the entry that this host wrote last to the request's stream. */
  lastId: string;
}

/** Requests of one host whose readers want to be told of new entries, and on which channel. */
export class Doorbells {
  readonly #doors = new Map<string, Door>();

  /** To be called before the first event of a sequence, and `leave` after its last one. */
  enter({ requestId, doorbell }: SequenceJob): void {
    if (doorbell === undefined) return;
    const door = this.#doors.get(requestId) ?? { channel: doorbell, sequences: 0, lastId: '' };
    door.sequences++;
    this.#doors.set(requestId, door);
  }

  leave({ requestId }: SequenceJob): void {
    const door = this.#doors.get(requestId);
    if (door !== undefined && --door.sequences === 0) this.#doors.delete(requestId);
  }

  /**
   * One message per channel, of all events whose readers listen.
   *
   * @param events request and JSON of each, in the order in which they are written
   */
  messages(
    events: readonly (readonly [requestId: string, json: string])[],
  ): [channel: string, message: string][] {
    const byRequest = new Map<string, string[]>();
    for (const [requestId, json] of events) {
      const ofRequest = byRequest.get(requestId);
      if (ofRequest !== undefined) ofRequest.push(json);
      else if (this.#doors.has(requestId)) byRequest.set(requestId, [json]);
    }
    const byChannel = new Map<string, WrittenRing[]>();
    for (const [requestId, ofRequest] of byRequest) {
      const { channel, lastId } = this.#doors.get(requestId)!;
      const rings = byChannel.get(channel) ?? [];
      rings.push({ requestId, beforeId: lastId, events: ofRequest });
      byChannel.set(channel, rings);
    }
    return [...byChannel].map(([channel, rings]) => [channel, ringMessage(rings)]);
  }

  /** Notes under which id the last of some events of a request was written. */
  written(requestId: string, id: string): void {
    const door = this.#doors.get(requestId);
    if (door !== undefined) door.lastId = id;
  }
}
