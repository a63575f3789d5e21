import type { Redis } from 'ioredis';
import { placementChannel } from '../../shared/protocol/keys.ts';
import { openSubscriber } from '../../shared/protocol/open-subscriber.ts';

/** Longest pause between two looks at the placement: a message of the channel may be lost. */
const POLL_MS = 200;

/** Wakes a host that follows placements: when one is told on the channel, when it is rung, and at the latest after a while. */
export class PlacementBell {
  readonly #subscriber: Redis;
  #rung = false;
  #wake: (() => void) | undefined;

  private constructor(subscriber: Redis) {
    this.#subscriber = subscriber;
    subscriber.on('message', () => this.ring());
    // It reconnects and subscribes again by itself; looks go on meanwhile.
    subscriber.on('error', () => {});
  }

  /** @param redis a connection like it is opened for the channel */
  static open(redis: Redis, model: string): PlacementBell {
    const subscriber = openSubscriber(redis);
    const bell = new PlacementBell(subscriber);
    subscriber.subscribe(placementChannel(model)).catch(() => {});
    return bell;
  }

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /** Resolves when it was rung since the last wait, or after a while. */
  async wait(): Promise<void> {
    if (!this.#rung) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, POLL_MS);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#wake = undefined;
    this.#rung = false;
  }

  close(): void {
    this.#subscriber.disconnect();
    this.ring();
  }
}
