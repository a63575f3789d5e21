/**
 * Where a sequence stands in the queue of its model: by level first, and within a level by start-time fair queueing (Goyal,
 * Vin and Cheng, SIGCOMM 1996) over the owners, which are API keys, with equal weights. Each sequence gets a tag, its start in
 * virtual time: an owner's sequences get tags in a row, and the first of an owner that had none waiting gets the tag of the
 * head of the queue. So of an owner that queues one sequence behind another's five hundred, it is among the next.
 */

/** Levels that interactive requests can have; a lower one goes earlier, as vLLM's `priority` has it. */
export const FIRST_LEVEL = -8;
export const LAST_LEVEL = 8;
/** BullMQ priorities of one level. Who uses up the tags that are left, by so many waiting, is served in order of arrival from there. */
const LEVEL_PRIORITIES = 2 ** 16;
/** Tag of what waits without a place as yet, behind all others of its level. */
export const UNPLACED_TAG = LEVEL_PRIORITIES - 1;
/** BullMQ's last priority, 2²¹ − 1, behind those of all levels. It takes jobs of priority 0 before all, so levels begin at 1. */
export const BATCH_PRIORITY = 2_097_151;

/** BullMQ priority of tag 0 of a level; the next tags follow. */
export const levelPriority = (level: number): number => 1 + (level - FIRST_LEVEL) * LEVEL_PRIORITIES;

/** What is kept of one level. */
export interface FairState {
  /** Smallest tag that may still be given; it never falls. */
  readonly virtualTime: number;
  /** Behind all tags that were given. */
  readonly latest: number;
  /** Per owner, behind the last tag that it was given. */
  readonly finishes: ReadonlyMap<string, number>;
}

export const EMPTY_FAIR_STATE: FairState = { virtualTime: 0, latest: 0, finishes: new Map() };

/**
 * The state once it is known what waits.
 *
 * @param headTag smallest tag that waits; null: none does, and nobody owes anybody anything
 */
export function advance(state: FairState, headTag: number | null): FairState {
  const { virtualTime, latest, finishes } = state;
  if (headTag === null) return { virtualTime: latest, latest, finishes: new Map() };
  return { virtualTime: Math.max(virtualTime, headTag), latest, finishes };
}

/**
 * Gives an owner tags for `count` sequences. In Redis a script does this (functions/dispatcher/fair-queue.ts); a test holds the
 * two together.
 *
 * @param headTag as for {@link advance}
 * @returns the first of the tags, which come in a row, and the state after
 */
export function reserveTags(
  state: FairState,
  owner: string,
  count: number,
  headTag: number | null,
): { readonly firstTag: number; readonly state: FairState } {
  const { virtualTime, latest, finishes } = advance(state, headTag);
  const firstTag = Math.max(virtualTime, finishes.get(owner) ?? 0);
  const finish = Math.min(firstTag + count, UNPLACED_TAG);
  const after = new Map(finishes).set(owner, finish);
  return { firstTag, state: { virtualTime, latest: Math.max(latest, finish), finishes: after } };
}

/** Sequences of each owner that wait in a level; those without any are left out. */
export function backlogsOf(state: FairState, headTag: number | null): Map<string, number> {
  const { virtualTime, finishes } = advance(state, headTag);
  const backlogs = [...finishes].map(([owner, finish]) => [owner, finish - virtualTime] as const);
  return new Map(backlogs.filter(([, backlog]) => backlog > 0));
}

/**
 * Most sequences of its level that are taken before the next one of an owner, as things stand. Whatever comes later, no other
 * owner has more than one before it, and one for each of those that its own owner has waiting.
 *
 * @param backlog sequences of that owner that wait before it
 * @param backlogs of all owners
 */
export function sequencesBefore(
  backlogs: ReadonlyMap<string, number>,
  owner: string,
  backlog: number = backlogs.get(owner) ?? 0,
): number {
  let before = backlog;
  for (const [other, waiting] of backlogs) if (other !== owner) before += Math.min(waiting, backlog + 1);
  return before;
}
