import { HEARTBEAT_INTERVAL_MS, type HostRecord } from '../../shared/protocol/member.ts';

/** When Redis comes back after its records have ended, each host is there again with its next heartbeat: until then none is given up. */
const GRACE_MS = 1.5 * HEARTBEAT_INTERVAL_MS;

/** The living hosts of a model, and those that are missing only since a moment ago. */
export class RecentMembers {
  readonly #known = new Map<string, { readonly record: HostRecord; missingSinceMs?: number }>();

  /** @param members that are there now */
  with(members: readonly HostRecord[], nowMs: number): HostRecord[] {
    for (const record of members) this.#known.set(record.host, { record });
    const living = new Set(members.map(({ host }) => host));
    const missing: HostRecord[] = [];
    for (const [host, known] of this.#known) {
      if (living.has(host)) continue;
      known.missingSinceMs ??= nowMs;
      if (nowMs - known.missingSinceMs < GRACE_MS) missing.push(known.record);
      else this.#known.delete(host);
    }
    return [...members, ...missing];
  }
}
