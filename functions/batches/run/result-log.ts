import type { ResultKind } from '../batch.ts';
import type { FileStore, PartWriter } from '../store/file-store.ts';
import { type BatchClaims, type Claim, LeaseLostError, type PartBytes } from './claims.ts';
import { persist } from './persist.ts';

/** Parts of one kind of result of a batch, as the store names them. */
export const partSeries = (batchId: string, kind: ResultKind): string => `${batchId}_${kind}`;

/** The batch whose results a series holds. */
export const batchOfSeries = (series: string): string => series.slice(0, series.lastIndexOf('_'));

export interface LineResult {
  readonly kind: ResultKind;
  /** JSON of the line, with its end. */
  readonly text: string;
}

interface Entry {
  readonly line: number;
  readonly kind: ResultKind;
  readonly bytes: Uint8Array;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export interface ResultLogOptions {
  readonly store: FileStore;
  readonly claims: BatchClaims;
  readonly claim: Claim;
  /** Ends the wait for a Redis that does not answer. */
  readonly lost: AbortSignal;
}

/**
 * Writes the results of one claim: first the bytes, then the record in Redis which makes them count. What comes while results
 * are being written is written together next. A crash between the two leaves bytes that count nowhere, and the lines are
 * answered anew.
 */
export class ResultLog {
  readonly #options: ResultLogOptions;
  readonly #encoder = new TextEncoder();
  readonly #writers = new Map<ResultKind, PartWriter>();
  #bytes: PartBytes = { output: 0, error: 0 };
  #waiting: Entry[] = [];
  #writing: Promise<void> | undefined;
  #failure: unknown;

  constructor(options: ResultLogOptions) {
    this.#options = options;
  }

  /**
   * Resolves when the line's result counts.
   *
   * @throws {LeaseLostError}
   * @throws what the store throws; from then on nothing can be added any more
   */
  add(line: number, { kind, text }: LineResult): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ line, kind, bytes: this.#encoder.encode(text), resolve, reject });
      this.#writing ??= this.#writeAll();
    });
  }

  /** Ends what is under way. */
  async close(): Promise<void> {
    this.#failure ??= new LeaseLostError();
    await this.#writing;
    for (const writer of this.#writers.values()) await writer.close();
    this.#writers.clear();
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const entries = this.#waiting.splice(0);
      try {
        if (this.#failure !== undefined) throw this.#failure;
        await this.#write(entries);
        for (const { resolve } of entries) resolve();
      } catch (error) {
        this.#failure ??= error;
        for (const { reject } of entries) reject(error);
      }
    }
    this.#writing = undefined;
  }

  async #write(entries: readonly Entry[]): Promise<void> {
    const { claims, claim, lost } = this.#options;
    const before = this.#bytes;
    const after = {
      output: before.output + (await this.#append('output', entries)),
      error: before.error + (await this.#append('error', entries)),
    };
    await persist(() => claims.record(claim, { before, after, lines: entries }), lost);
    this.#bytes = after;
  }

  /** @returns bytes that were appended */
  async #append(kind: ResultKind, entries: readonly Entry[]): Promise<number> {
    const texts = entries.filter((entry) => entry.kind === kind).map(({ bytes }) => bytes);
    if (texts.length === 0) return 0;
    const bytes = Buffer.concat(texts);
    const writer = this.#writers.get(kind) ?? (await this.#open(kind));
    await writer.append(bytes);
    return bytes.length;
  }

  async #open(kind: ResultKind): Promise<PartWriter> {
    const { store, claim } = this.#options;
    const writer = await store.openPart(partSeries(claim.batchId, kind), claim.token);
    this.#writers.set(kind, writer);
    return writer;
  }
}
