import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { hostKey, membersKey, modelsKey, scalingTargetKey } from '../../shared/protocol/keys.ts';
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
 * Takes a host out, and with the last one the model, unless a scaler looks after it, which may start hosts again. KEYS 1 and 2,
 * ARGV 1 as above, KEYS 3 the model's scaling target. Returns 1 where the model is to be taken out too, else 0.
 */
const LEAVE = `
redis.call('SREM', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
if redis.call('SCARD', KEYS[1]) > 0 or redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
return 1
`;

/** Longest wait for Redis when a host leaves. */
const LEAVE_LIMIT_MS = 1_000;

/** A host's entry among the members of its model, renewed by a heartbeat until `leave`. */
export class Membership {
  readonly #redis: Redis;
  readonly #model: string;
  readonly #host: string;
  readonly #record: () => HostRecord;
  readonly #card: ModelCard | null;
  readonly #timer: NodeJS.Timeout;

  private constructor(
    redis: Redis,
    model: string,
    host: string,
    record: () => HostRecord,
    card: ModelCard | null,
  ) {
    this.#redis = redis;
    this.#model = model;
    this.#host = host;
    this.#record = record;
    this.#card = card;
    // A heartbeat that fails is followed by the next one; Redis reconnects by itself.
    this.#timer = setInterval(() => void this.renew().catch(() => {}), HEARTBEAT_INTERVAL_MS);
  }

  /**
   * Registers the host. `record` is asked at every heartbeat.
   *
   * @param card by which each heartbeat makes the model known again where Redis has forgotten it; null where the host makes none known
   */
  static async join(
    redis: Redis,
    model: string,
    host: string,
    record: () => HostRecord,
    card: ModelCard | null = null,
  ): Promise<Membership> {
    const membership = new Membership(redis, model, host, record, card);
    await membership.renew();
    return membership;
  }

  /** Writes the host's present record now. */
  async renew(): Promise<void> {
    const record = JSON.stringify(this.#record());
    await this.#redis.eval(RENEW, 2, ...this.#keys, this.#host, record, HOST_TTL_MS);
    if (this.#card !== null) await this.#redis.hsetnx(modelsKey, this.#model, JSON.stringify(this.#card));
  }

  /** Takes the host out, and the model with its last host where no scaler looks after it. Without Redis the record ends by its time to live. */
  async leave(): Promise<void> {
    clearInterval(this.#timer);
    const left = (async () => {
      const keys = [...this.#keys, scalingTargetKey(this.#model)];
      if ((await this.#redis.eval(LEAVE, keys.length, ...keys, this.#host)) === 0) return;
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
