import type { TokenEvent } from '../../shared/protocol/token-event.ts';

/** What an event is to who has heard all events before it: `next`, one that was heard already, or behind one that was missed. */
export type Hearing = 'next' | 'again' | 'gap';

/**
 * Tells whether events that are told one by one are all that there are: tokens are numbered, the end says how many there are,
 * and a host that takes a sequence over, perhaps from one that wrote a token and could not tell it, announces it again.
 */
export class HeardPositions {
  /** By choice: tokens heard; undefined before its `started`. */
  readonly #tokens: (number | undefined)[] = [];

  /** @param isStream whether the event was read from the stream itself, where nothing can be missing */
  hear(event: TokenEvent, isStream: boolean): Hearing {
    const { choice } = event;
    const heard = this.#tokens[choice];
    if (event.kind === 'started') {
      if (heard !== undefined) return isStream ? 'again' : 'gap';
      this.#tokens[choice] = 0;
    } else if (event.kind === 'token') {
      const next = heard ?? 0;
      if (event.position < next) return 'again';
      if (event.position > next && !isStream) return 'gap';
      this.#tokens[choice] = event.position + 1;
    } else if (event.kind === 'finished' && event.completionTokens > (heard ?? 0) && !isStream) {
      return 'gap';
    }
    return 'next';
  }
}
