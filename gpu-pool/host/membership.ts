import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { hostKey, membersKey, modelsKey } from '../../shared/protocol/keys.ts';
import {
  HEARTBEAT_INTERVAL_MS,
  HOST_TTL_MS,
  type HostRecord,
  type ModelCard,
} from '../../shared/protocol/member.ts';

/**
 * Registers a host or renews its registration.
 *
 * KEYS 1 set of the model's hosts, 2 the host's record. ARGV 1 host id, 2 record, 3 time to live in ms.
 * Both keys change together, so a listed host without a record is one that has died.
 */
const RENEW = `
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
`;

/**
 * Takes a host out and returns the number of hosts that remain. KEYS and ARGV 1 as above.
 */
const LEAVE = `
redis.call('SREM', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
return redis.call('SCARD', KEYS[1])
`;

/** Longest wait for Redis when a host leaves. */
const LEAVE_LIMIT_MS = 1_000;

/** A host's entry among the members of its model, renewed by a heartbeat until `leave`. */
export class Membership {
  readonly #redis: Redis;
  readonly #model: string;
  readonly #host: string;
  readonly #record: () => HostRecord;
  readonly #timer: NodeJS.Timeout;

  private constructor(redis: Redis, model: string, host: string, record: () => HostRecord) {
    this.#redis = redis;
    this.#model = model;
    this.#host = host;
    this.#record = record;
    // A heartbeat that fails is followed by the next one; Redis reconnects by itself.
    this.#timer = setInterval(() => void this.renew().catch(() => {}), HEARTBEAT_INTERVAL_MS);
  }

  /** Registers the host. `record` is asked at every heartbeat. */
  static async join(
    redis: Redis,
    model: string,
    host: string,
    record: () => HostRecord,
  ): Promise<Membership> {
    const membership = new Membership(redis, model, host, record);
    await membership.renew();
    return membership;
  }

  /** Writes the host's present record now. */
  async renew(): Promise<void> {
    const record = JSON.stringify(this.#record());
    await this.#redis.eval(RENEW, 2, ...this.#keys, this.#host, record, HOST_TTL_MS);
  }

  /** Takes the host out, and the model with its last host. Without Redis the record ends by its time to live. */
  async leave(): Promise<void> {
    clearInterval(this.#timer);
    const left = (async () => {
      if ((await this.#redis.eval(LEAVE, 2, ...this.#keys, this.#host)) !== 0) return;
      await this.#redis.hdel(modelsKey, this.#model);
    })();
    left.catch(() => {});
    await Promise.race([left, sleep(LEAVE_LIMIT_MS, undefined, { ref: false })]);
  }

  get #keys(): [string, string] {
    return [membersKey(this.#model), hostKey(this.#model, this.#host)];
  }
}

/** Records of the living hosts of a model, by host id ascending. */
export async function readMembers(redis: Redis, model: string): Promise<HostRecord[]> {
  const hosts = (await redis.smembers(membersKey(model))).sort();
  if (hosts.length === 0) return [];
  const records = await redis.mget(hosts.map((host) => hostKey(model, host)));
  return records.filter((record) => record !== null).map((record) => JSON.parse(record) as HostRecord);
}

/** Makes a model known to the gateways. */
export async function announceModel(redis: Redis, card: ModelCard): Promise<void> {
  await redis.hset(modelsKey, card.id, JSON.stringify(card));
}
