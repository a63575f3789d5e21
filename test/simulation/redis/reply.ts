/** What Redis answers, as ioredis gives it to its callers. */
export type Reply = string | number | null | readonly Reply[];

/** A command that the server refused. */
export class RedisError extends Error {}
