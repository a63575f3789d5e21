import { type BatchError, type BatchRecord, type BatchStatus, type EndStatus, isEnded } from '../batch.ts';
import type { BatchMetrics } from '../batch-metrics.ts';
import type { FileRecord } from '../files.ts';
import { type BatchLine, type LineRules, parseBatchLine } from '../input/parse-line.ts';
import { type RawLine, readLines } from '../input/read-lines.ts';
import { validateInput } from '../input/validate.ts';
import type { BatchLimits } from '../limits.ts';
import type { FileStore } from '../store/file-store.ts';
import { type AnsweredLine, answerLine, type LineDependencies, type LineRun } from './answer-line.ts';
import type { BatchClaims } from './claims.ts';
import { type Lease, widely } from './lease.ts';
import type { LineBudget } from './line-budget.ts';
import { LineSet } from './line-set.ts';
import { persist } from './persist.ts';
import { expired } from './result-lines.ts';
import { partSeries, ResultLog } from './result-log.ts';

const MS_PER_S = 1_000;

export interface BatchRunDependencies extends LineDependencies {
  readonly claims: BatchClaims;
  readonly store: FileStore;
  readonly limits: Pick<BatchLimits, 'retryDelaysMs' | 'askAgainMs' | 'linesInFlight'>;
  /** As `GatewayLimits` has it. */
  readonly promptCharacters: number;
  readonly metrics: BatchMetrics;
  /** Opens the budget of a batch's lines. @throws {DispatchError} `broker` */
  readonly openBudget: (owner: string) => Promise<LineBudget>;
  /** Draws the id of a file. */
  readonly newFileId: () => string;
  /** Drops the parts of a batch that has ended, though not at once: see `PARTS_GRACE_MS`. */
  readonly dropParts: (batchId: string) => void;
}

const INPUT_GONE: BatchError = {
  code: 'input_file_missing',
  line: null,
  message: 'The input file is not in the store any more: upload it again and create a new batch',
  param: 'input_file_id',
};

/** Carries one batch from the status that it is found in to its end, under one claim. */
export class BatchRun {
  readonly #dependencies: BatchRunDependencies;
  readonly #batch: BatchRecord;
  readonly #lease: Lease;
  readonly #rules: LineRules;
  readonly #log: ResultLog;
  /** Lines that have a result. */
  #done = new LineSet(new Uint8Array(0));

  constructor(dependencies: BatchRunDependencies, batch: BatchRecord, lease: Lease) {
    const { store, claims, promptCharacters } = dependencies;
    this.#dependencies = dependencies;
    this.#batch = batch;
    this.#lease = lease;
    this.#rules = { endpoint: batch.endpoint, promptCharacters };
    this.#log = new ResultLog({ store, claims, claim: lease.claim, lost: lease.lost });
  }

  /**
   * @throws {LeaseLostError} when somebody else may go on with the batch
   * @throws what the store throws; the batch is then as it was
   */
  async run(): Promise<void> {
    let status = this.#batch.status;
    try {
      while (!isEnded(status)) {
        this.#lease.lost.throwIfAborted();
        status = await this.#next(status);
      }
    } finally {
      await this.#log.close();
    }
  }

  /** @returns the status that the batch is in then */
  #next(status: Exclude<BatchStatus, EndStatus>): Promise<BatchStatus> {
    if (status === 'validating') return this.#validate();
    if (status === 'in_progress') return this.#answerAll();
    return this.#end(status, status === 'finalizing' ? 'completed' : 'cancelled');
  }

  async #validate(): Promise<BatchStatus> {
    const { store, claims } = this.#dependencies;
    const { claim, lost } = this.#lease;
    const input = await store.read(this.#batch.inputFileId);
    if (input === undefined) return this.#end('validating', 'failed', [INPUT_GONE]);
    const rules = { ...this.#rules, knowsModel: this.#knowsModel() };
    const { total, errors } = await validateInput(readLines(input), rules);
    if (errors.length > 0) return this.#end('validating', 'failed', errors);
    const entry = { nowS: this.#nowS(), total };
    return persist(() => claims.move(claim, 'validating', 'in_progress', entry), lost);
  }

  /** Tells of each model once, as the registry has it then. */
  #knowsModel(): (model: string) => Promise<boolean> {
    const { models } = this.#batch;
    const known = new Map<string, Promise<boolean>>();
    const ask = async (model: string): Promise<boolean> => {
      if (models !== null && !models.includes(model)) return false;
      const served = await persist(() => this.#dependencies.registry.find(model), this.#lease.lost);
      return served !== undefined;
    };
    return (model) => {
      const answer = known.get(model) ?? ask(model);
      known.set(model, answer);
      return answer;
    };
  }

  async #answerAll(): Promise<BatchStatus> {
    const { store, claims } = this.#dependencies;
    const { claim, lost, stop, isExpired } = this.#lease;
    const { id, inputFileId } = this.#batch;
    if (!(await store.exists(inputFileId))) return this.#end('in_progress', 'failed', [INPUT_GONE]);
    this.#done = await persist(() => claims.doneLines(id), lost);

    const wasStopped = stop.aborted;
    if (!wasStopped) await this.#answerPending();
    lost.throwIfAborted();
    if (stop.aborted && !isExpired()) return 'cancelling';
    const expiredLines = stop.aborted ? await this.#expirePending() : 0;
    if (expiredLines > 0 || wasStopped) return this.#end('in_progress', 'expired');
    return persist(() => claims.move(claim, 'in_progress', 'finalizing', { nowS: this.#nowS() }), lost);
  }

  async #answerPending(): Promise<void> {
    const { lost, stop } = this.#lease;
    const broken = new AbortController();
    const signal = widely(lost, stop, broken.signal);
    const budget = await persist(() => this.#dependencies.openBudget(this.#batch.owner), lost);
    await this.#eachPending(signal, async (line) => {
      try {
        await this.#answer({ line, signal, budget }, broken.signal);
      } catch (error) {
        broken.abort(error);
        throw error;
      }
    });
  }

  /** Answers a line and records its result; records nothing where the batch is stopped before. */
  async #answer(begun: Pick<LineRun, 'line' | 'signal' | 'budget'>, broken: AbortSignal): Promise<void> {
    const { dispatcher, report } = this.#dependencies;
    const { claim, lost, stop } = this.#lease;
    const { line } = begun;
    const isUnwanted = (): boolean => stop.aborted && !lost.aborted && !broken.aborted;
    const run = { ...begun, batch: this.#batch, claim, isUnwanted };
    const answering = answerLine(this.#dependencies, run).catch((error: unknown) => {
      if (isUnwanted()) return null;
      throw error;
    });
    const answered = await answering;
    if (answered === null) return;
    const { result, requestId } = answered;
    await this.#log.add(line.number, result);
    this.#done.add(line.number);
    this.#count(line, answered);
    // Thousands of streams that nobody reads any more would fill Redis until they expire.
    await dispatcher.forget(requestId).catch((error: unknown) => report(error, requestId));
  }

  #count({ model }: BatchLine, { usage, status }: AnsweredLine): void {
    const { metrics } = this.#dependencies;
    if (usage === null) metrics.failed(model, status);
    else metrics.answered(model, usage);
  }

  /** @returns number of lines that expired */
  async #expirePending(): Promise<number> {
    let count = 0;
    await this.#eachPending(this.#lease.lost, async (line) => {
      count += 1;
      await this.#log.add(line.number, expired(this.#batch.id, line));
      this.#done.add(line.number);
    });
    return count;
  }

  /**
   * Does something for every line without a result, for several at a time.
   *
   * @param signal no line is begun any more once it aborts
   * @throws what `work` throws first, when no work is under way any more
   */
  async #eachPending(signal: AbortSignal, work: (line: BatchLine) => Promise<void>): Promise<void> {
    const input = await this.#dependencies.store.read(this.#batch.inputFileId);
    if (input === undefined) throw new Error(`Input file ${this.#batch.inputFileId} has vanished`);
    const pending = this.#pending(readLines(input));
    const workOn = async (): Promise<void> => {
      for await (const line of pending) {
        if (signal.aborted) return;
        await work(line);
      }
    };
    const workers = Array.from({ length: this.#dependencies.limits.linesInFlight }, workOn);
    for (const outcome of await Promise.allSettled(workers)) {
      if (outcome.status === 'rejected') throw outcome.reason;
    }
  }

  async *#pending(lines: AsyncIterable<RawLine>): AsyncGenerator<BatchLine, void, undefined> {
    for await (const raw of lines) {
      if (!this.#done.has(raw.number)) yield parseBatchLine(raw, this.#rules);
    }
  }

  async #end(from: BatchStatus, to: EndStatus, errors: readonly BatchError[] = []): Promise<BatchStatus> {
    const { claims, store, dropParts } = this.#dependencies;
    const { claim } = this.#lease;
    await this.#log.close();
    const nowS = this.#nowS();
    const files = { output: await this.#join('output', nowS), error: await this.#join('error', nowS) };
    const ending = { from, to, nowS, errors, files };
    const status = await this.#finish(() => claims.end(claim, this.#batch, ending));
    if (status !== to) {
      for (const file of [files.output, files.error]) if (file !== null) await store.remove(file.id);
      return status;
    }
    dropParts(this.#batch.id);
    return status;
  }

  /** Asks Redis though this process ends: an end that it gave up would be begun anew, for ever where no process lives for long. */
  #finish<T>(command: () => Promise<T>): Promise<T> {
    const { lost, gone } = this.#lease;
    return lost.aborted && !gone.aborted ? command() : persist(command, lost);
  }

  /** Puts the results that count into a file of their own; null where there are none. */
  async #join(kind: 'output' | 'error', nowS: number): Promise<FileRecord | null> {
    const { claims, store, newFileId } = this.#dependencies;
    const { id, owner } = this.#batch;
    const parts = (await this.#finish(() => claims.parts(id)))[kind];
    if (parts.length === 0) return null;
    const fileId = newFileId();
    const bytes = await store.join(fileId, partSeries(id, kind), parts);
    const filename = `${id}_${kind}.jsonl`;
    return { id: fileId, owner, bytes, createdAtS: nowS, filename, purpose: 'batch_output' };
  }

  #nowS(): number {
    return Math.floor(this.#dependencies.clock.nowMs() / MS_PER_S);
  }
}
