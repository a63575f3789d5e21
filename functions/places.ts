import { type Clock, systemClock } from './clock.ts';

/** So many may be inside at the same time. */
export interface Places<Guest> {
  /**
   * @param longestMs after so long, in milliseconds, the place is free though nobody has left: Cloudflare may end a request in
   *   the middle of anything, and nobody learns of it
   * @returns frees the place; null where there is none
   */
  readonly enter: (guest: Guest, longestMs: number) => (() => void) | null;
  readonly guests: () => Iterable<Guest>;
  readonly size: () => number;
}

export function createPlaces<Guest>(most: number, clock: Clock = systemClock): Places<Guest> {
  const untilMs = new Map<symbol, number>();
  const inside = new Map<symbol, Guest>();
  const free = (place: symbol): void => {
    untilMs.delete(place);
    inside.delete(place);
  };
  return {
    enter(guest, longestMs) {
      const nowMs = clock.nowMs();
      if (inside.size >= most) {
        for (const [place, endMs] of untilMs) if (nowMs >= endMs) free(place);
      }
      if (inside.size >= most) return null;
      const place = Symbol();
      inside.set(place, guest);
      untilMs.set(place, nowMs + longestMs);
      return () => free(place);
    },
    guests: () => inside.values(),
    size: () => inside.size,
  };
}
