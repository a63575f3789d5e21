import { JanusError } from '../errors/janus-error.ts';

/** What the policy reads of one running sequence. */
export interface StepSequence {
  /** Number of the sequence in order of arrival, unique; it names the sequence from step to step. */
  readonly arrival: number;
  /** Prompt tokens that are not prefilled yet; 0: the sequence decodes. */
  readonly pendingPromptTokens: number;
  /** True where nobody waits for the answer. */
  readonly isDeferrable?: boolean;
}

export interface StepLimits {
  /** Largest number of rows (tokens) that one step computes, at least 1. */
  readonly tokenBudget: number;
  /** Largest number of prompt rows of a step in which sequences decode, which wait for them; at least 1. */
  readonly prefillBudget: number;
}

/** Whose turn it is. One lives as long as the instance, and `planStep` moves it. */
export interface DecodeTurn {
  /** The decoding sequence with this arrival number, or the next later one, goes first. Start with 0. */
  nextArrival: number;
  /** Steps in a row in which deferrable sequences got nothing. Absent: 0. */
  deferredSteps?: number;
}

/**
 * Prompt rows of deferrable sequences in one step. Whoever comes while it runs waits for its end: so many cost about as much time as a
 * few decoding sequences do.
 */
export const MOST_DEFERRABLE_PROMPT_ROWS = 16;

/** So many steps in a row deferrable sequences get nothing at most, so that they go on beneath any load. */
export const MOST_DEFERRED_STEPS = 16;

/**
 * Decides how many rows each running sequence gets in the coming step: continuous batching with chunked prefill, decode
 * first (Agrawal et al., "Taming Throughput-Latency Tradeoff in LLM Inference with Sarathi-Serve", OSDI 2024).
 *
 * 1. Every decoding sequence gets one row. Where the budget is smaller than their number they take turns, and no
 *    sequence waits more than ⌊(decoding − 1) / tokenBudget⌋ steps.
 * 2. What remains goes to prompts in order of arrival: all of it where nobody decodes, since many rows together are cheaper, and
 *    beside sequences that decode at most `prefillBudget` rows. A prompt is not cut so that one row of it is computed alone,
 *    where that can be helped: matrix products round a single row in another order than several.
 *
 * While somebody waits for a first token, sequences that are deferrable (lines of batches) get nothing, but for one step after
 * every `MOST_DEFERRED_STEPS`; and of their prompts no step computes more than `MOST_DEFERRABLE_PROMPT_ROWS` rows where nobody waits,
 * since somebody may come while it runs.
 *
 * While decoding sequences use up the budget no prompt advances, so none of them becomes one more decoding sequence:
 * their number only falls, and prompts go on when answers end. A budget above the number of KV slots never gets there.
 *
 * The result depends on the arguments alone. Nothing is allocated.
 *
 * @param sequences running sequences, ascending by `arrival`
 * @param turn moved on when the decoding sequences had to take turns
 * @param rows written: `rows[i]` is the number of rows of `sequences[i]`, at least as long as `sequences`
 * @returns total of the rows given, at most `tokenBudget`
 * @throws JanusError if a limit is below 1
 */
export function planStep(
  sequences: readonly StepSequence[],
  limits: StepLimits,
  turn: DecodeTurn,
  rows: Int32Array,
): number {
  checkLimit('tokenBudget', limits.tokenBudget);
  checkLimit('prefillBudget', limits.prefillBudget);
  if (rows.length < sequences.length) {
    throw new RangeError(`rows holds ${rows.length} entries, but ${sequences.length} sequences run.`);
  }
  const defers = defersSome(sequences, turn);
  const decoded = planDecode(sequences, limits.tokenBudget, turn, rows, defers);
  const left = limits.tokenBudget - decoded;
  const beside = Math.min(left, limits.prefillBudget);
  if (!sequences.some(isAwaited)) {
    return decoded + planPrefill(sequences, Math.min(beside, MOST_DEFERRABLE_PROMPT_ROWS), rows, defers);
  }
  return decoded + planPrefill(sequences, decoded === 0 ? left : beside, rows, defers);
}

/** Whether somebody waits for the first token of a sequence. */
const isAwaited = ({ pendingPromptTokens, isDeferrable }: StepSequence): boolean =>
  pendingPromptTokens > 0 && isDeferrable !== true;

/** Whether deferrable sequences get nothing in this step. */
function defersSome(sequences: readonly StepSequence[], turn: DecodeTurn): boolean {
  const deferred = turn.deferredSteps ?? 0;
  const defers = deferred < MOST_DEFERRED_STEPS && sequences.some(isAwaited);
  turn.deferredSteps = defers ? deferred + 1 : 0;
  return defers;
}

function planDecode(
  sequences: readonly StepSequence[],
  budget: number,
  turn: DecodeTurn,
  rows: Int32Array,
  defers: boolean,
): number {
  let decoding = 0;
  for (let i = 0; i < sequences.length; i++) {
    rows[i] = 0;
    if (decodes(sequences[i], defers)) decoding++;
  }
  const takeTurns = decoding > budget;
  let index = takeTurns ? firstFrom(sequences, turn.nextArrival) : 0;
  let remaining = takeTurns ? budget : decoding;
  const total = remaining;
  while (remaining > 0) {
    if (decodes(sequences[index], defers)) {
      rows[index] = 1;
      remaining--;
      if (takeTurns) turn.nextArrival = sequences[index].arrival + 1;
    }
    index = index + 1 === sequences.length ? 0 : index + 1;
  }
  return total;
}

const decodes = ({ pendingPromptTokens, isDeferrable }: StepSequence, defers: boolean): boolean =>
  pendingPromptTokens === 0 && !(defers && isDeferrable === true);

/** Index of the first sequence that arrived as number `arrival` or later; 0 where there is none. */
function firstFrom(sequences: readonly StepSequence[], arrival: number): number {
  for (let i = 0; i < sequences.length; i++) {
    if (sequences[i].arrival >= arrival) return i;
  }
  return 0;
}

function planPrefill(
  sequences: readonly StepSequence[],
  budget: number,
  rows: Int32Array,
  defers: boolean,
): number {
  let total = 0;
  for (let i = 0; i < sequences.length && total < budget; i++) {
    const { pendingPromptTokens: pending, isDeferrable } = sequences[i];
    if (pending === 0 || (defers && isDeferrable === true)) continue;
    const given = rowsOfPrompt(pending, budget - total, total > 0);
    rows[i] = given;
    total += given;
    if (given < pending) break;
  }
  return total;
}

/** As many rows as there is room for, unless one would be computed alone now, while others advance, or would be left for later. */
function rowsOfPrompt(pending: number, room: number, othersAdvance: boolean): number {
  if (pending <= room) return pending;
  if (room === 1 && othersAdvance) return 0;
  return room === pending - 1 && room > 2 ? room - 1 : room;
}

function checkLimit(name: string, value: number): void {
  if (!(value >= 1)) throw new JanusError(`${name} is ${value}: set it to a whole number of at least 1.`);
}
