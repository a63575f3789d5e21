/** What of one part belongs to the file that the parts make up. */
export interface PartLength {
  readonly part: string;
  /** The part's first so many bytes. */
  readonly bytes: number;
}

export interface PartWriter {
  /** Resolves when the bytes would survive a loss of power. After a failure the part's length is unknown. */
  readonly append: (bytes: Uint8Array) => Promise<void>;
  readonly close: () => Promise<void>;
}

/**
 * The bytes of files: a folder on Node, a bucket on Cloudflare Workers. All gateways that share a Redis must share the store.
 *
 * A file that is written bit by bit is written in parts, each by one writer from its beginning to its end. So a writer that
 * was given up, but lives, spoils nothing: of its part counts what was recorded before.
 */
export interface FileStore {
  /**
   * Stores a file whole or not at all.
   *
   * @returns its size in bytes
   * @throws what `content` throws
   */
  readonly write: (id: string, content: AsyncIterable<Uint8Array>) => Promise<number>;
  /** @returns undefined where there is no such file */
  readonly read: (id: string) => Promise<ReadableStream<Uint8Array> | undefined>;
  readonly exists: (id: string) => Promise<boolean>;
  /** Does nothing where there is no such file. */
  readonly remove: (id: string) => Promise<void>;
  /** Begins a part of a series. @throws when it was begun before */
  readonly openPart: (series: string, part: string) => Promise<PartWriter>;
  /**
   * Makes a file of the parts of a series, in the given order; the parts stay.
   *
   * @returns its size in bytes
   * @throws when a part is shorter than it should be
   */
  readonly join: (id: string, series: string, parts: readonly PartLength[]) => Promise<number>;
  /** Drops all parts of a series. */
  readonly removeParts: (series: string) => Promise<void>;
}
