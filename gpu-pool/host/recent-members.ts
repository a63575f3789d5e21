import { HEARTBEAT_INTERVAL_MS, type HostRecord } from '../../shared/protocol/member.ts';

/** When Redis comes back after its records have ended, each host is there again with its next heartbeat: until then none is given up. */
const GRACE_MS = 1.5 * HEARTBEAT_INTERVAL_MS;
/** A record that has not been renewed for this long, though it has not ended yet, is no sign of life. */
export const RENEWAL_LIMIT_MS = 2.5 * HEARTBEAT_INTERVAL_MS;

/** The living hosts of a model, and those that are missing only since a moment ago. */
export class RecentMembers {
  readonly #known = new Map<
    string,
    { readonly record: HostRecord; readonly renewedAtMs: number; missingSinceMs?: number }
  >();

  /** @param members that are there now */
  with(members: readonly HostRecord[], nowMs: number): HostRecord[] {
    for (const record of members) {
      const known = this.#known.get(record.host);
      const isSame = known !== undefined && known.record.heartbeatAtMs === record.heartbeatAtMs;
      this.#known.set(record.host, { record, renewedAtMs: isSame ? known.renewedAtMs : nowMs });
    }
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

  /** Those of `members` whose records were renewed of late. Who looks rarely learns of renewals late, and not of fewer hosts. */
  renewed(members: readonly HostRecord[], nowMs: number): HostRecord[] {
    return members.filter(({ host }) => {
      const known = this.#known.get(host);
      return known !== undefined && nowMs - known.renewedAtMs < RENEWAL_LIMIT_MS;
    });
  }
}
