/** Where the gateway gets what must be unique or random. */
export interface Ids {
  /** Unique among all requests of all gateways; letters and digits only, as BullMQ forbids `:` in job ids. */
  readonly requestId: () => string;
  /** Unsigned 32-bit seed for a sequence whose client gave none. */
  readonly seed: () => number;
}

export const randomIds: Ids = {
  requestId: () => crypto.randomUUID().replaceAll('-', ''),
  seed: () => crypto.getRandomValues(new Uint32Array(1))[0],
};
