import { ringFor } from '../../shared/protocol/keys.ts';
import type { SequenceJob } from '../../shared/protocol/request.ts';

/** Requests of one host whose readers want to be told of new entries, and on which channel. */
export class Doorbells {
  readonly #doors = new Map<string, { readonly channel: string; sequences: number }>();

  /** To be called before the first event of a sequence, and `leave` after its last one. */
  enter({ requestId, doorbell }: SequenceJob): void {
    if (doorbell === undefined) return;
    const door = this.#doors.get(requestId) ?? { channel: doorbell, sequences: 0 };
    door.sequences++;
    this.#doors.set(requestId, door);
  }

  leave({ requestId }: SequenceJob): void {
    const door = this.#doors.get(requestId);
    if (door !== undefined && --door.sequences === 0) this.#doors.delete(requestId);
  }

  /** One message per channel for those of `requestIds` that have one. */
  messages(requestIds: Iterable<string>): [channel: string, message: string][] {
    const rung = new Map<string, Set<string>>();
    for (const requestId of requestIds) {
      const channel = this.#doors.get(requestId)?.channel;
      if (channel === undefined) continue;
      const ids = rung.get(channel) ?? new Set();
      rung.set(channel, ids.add(requestId));
    }
    return [...rung].map(([channel, ids]) => [channel, ringFor(ids)]);
  }
}
