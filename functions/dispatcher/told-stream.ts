import { tokenStreamKey } from '../../shared/protocol/keys.ts';
import type { TokenEvent } from '../../shared/protocol/token-event.ts';
import { HeardPositions } from './heard-positions.ts';
import type { StreamFetcher } from './stream-fetcher.ts';
import { parseEntry, READ_COUNT, type StreamEntry, type TokenStream } from './token-streams.ts';

const NOTHING: readonly TokenEvent[] = [];

interface Read {
  readonly resolve: (events: readonly TokenEvent[]) => void;
  readonly reject: (error: unknown) => void;
  readonly untilMs: number;
  /** Whether the time is up, and the stream is looked at a last time. */
  isLast: boolean;
}

/**
 * A stream whose events are told as they are written. It is *live* while everything that was written is told or was read;
 * where it is not, at first, when something was missed or the reader lags, the stream itself is read until it is live again.
 *
 * While it waits, a stream holds one promise; its timer and its listener for the abort outlive the single reads.
 */
export class ToldStream implements TokenStream {
  readonly #key: string;
  readonly #signal: AbortSignal;
  readonly #fetcher: StreamFetcher;
  readonly #onClose: () => void;
  readonly #positions = new HeardPositions();
  /** Every entry up to this one is among what was told or read. */
  #lastId = '0';
  #events: TokenEvent[] = [];
  #isLive = false;
  #isFetching = false;
  /** While it fetches, what is told may be older than what is fetched: it waits here. */
  #toldMeanwhile: TokenEvent[] = [];
  #read: Read | undefined;
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = 0;
  #isClosed = false;

  constructor(requestId: string, signal: AbortSignal, fetcher: StreamFetcher, onClose: () => void) {
    this.#key = tokenStreamKey(requestId);
    this.#signal = signal;
    this.#fetcher = fetcher;
    this.#onClose = onClose;
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  read(waitMs: number): Promise<readonly TokenEvent[]> {
    if (this.#signal.aborted) return Promise.reject(this.#signal.reason);
    return new Promise((resolve, reject) => {
      this.#read = { resolve, reject, untilMs: performance.now() + waitMs, isLast: false };
      this.#advance();
    });
  }

  /** Takes what a host has just written, behind what it wrote as `beforeId`. */
  tell(beforeId: string, events: readonly TokenEvent[]): void {
    if (this.#isFetching) {
      if (this.#toldMeanwhile.length + events.length <= READ_COUNT) this.#toldMeanwhile.push(...events);
      else this.#isLive = false;
      return;
    }
    if (!this.#isLive) return;
    if (beforeId !== '') this.#lastId = beforeId;
    this.#hear(events);
    this.#advance();
  }

  /** Something may have been told in vain: the stream has to be looked at. */
  missed(): void {
    this.#isLive = false;
    this.#toldMeanwhile = [];
    this.#advance();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#advance();
    this.#onClose();
  }

  readonly #onAbort = (): void => {
    this.#fail(this.#signal.reason);
  };

  #hear(events: readonly TokenEvent[]): void {
    for (const event of events) {
      // A reader that lags finds the rest in the stream.
      const isFull = this.#events.length >= READ_COUNT;
      const hearing = isFull ? 'again' : this.#positions.hear(event, false);
      // What is missing may have been written before the last known entry, by another host.
      if (hearing === 'gap') this.#lastId = '0';
      if (hearing === 'next') this.#events.push(event);
      if (isFull || hearing === 'gap') {
        this.#isLive = false;
        return;
      }
    }
  }

  /** Answers the read under way if there is something to tell, and otherwise sees to it that there will be. */
  #advance(): void {
    const read = this.#read;
    if (read === undefined) return;
    if (this.#events.length > 0 || this.#isClosed) {
      const events = this.#events;
      this.#events = [];
      this.#answer(read, events);
    } else if (!this.#isFetching && !this.#isLive) {
      void this.#fetch();
    } else if (!this.#isFetching && read.isLast) {
      this.#answer(read, NOTHING);
    } else {
      this.#arm(read.untilMs);
    }
  }

  /** One that is set already fires soon enough for most reads, which wait equally long. */
  #arm(atMs: number): void {
    if (this.#timer !== undefined && this.#timerAtMs <= atMs) return;
    clearTimeout(this.#timer);
    this.#timerAtMs = atMs;
    this.#timer = setTimeout(this.#onTime, Math.max(0, atMs - performance.now()));
  }

  #answer(read: Read, events: readonly TokenEvent[]): void {
    this.#read = undefined;
    read.resolve(events);
  }

  #fail(error: unknown): void {
    const read = this.#read;
    this.#read = undefined;
    read?.reject(error);
  }

  /** The timer belongs to a read that may have been answered long ago: it is set anew for the one that waits now. */
  readonly #onTime = (): void => {
    this.#timer = undefined;
    const read = this.#read;
    if (read === undefined) return;
    if (performance.now() >= read.untilMs) {
      read.isLast = true;
      this.#isLive = false;
    }
    this.#advance();
  };

  async #fetch(): Promise<void> {
    this.#isFetching = true;
    // Until then it can be told that it is not.
    this.#isLive = true;
    let entries: readonly StreamEntry[];
    try {
      entries = await this.#fetcher.fetch(this.#key, this.#lastId);
    } catch (error) {
      this.#isFetching = false;
      this.#isLive = false;
      this.#toldMeanwhile = [];
      this.#fail(error);
      return;
    }
    this.#isFetching = false;
    this.#lastId = entries.at(-1)?.[0] ?? this.#lastId;
    for (const event of entries.map(parseEntry)) {
      if (this.#positions.hear(event, true) === 'next') this.#events.push(event);
    }
    const told = this.#toldMeanwhile;
    this.#toldMeanwhile = [];
    if (entries.length === READ_COUNT) this.#isLive = false;
    if (this.#isLive) this.#hear(told);
    this.#advance();
  }
}
