/**
 * Names of everything that Janus keeps in Redis. The model's name stands in braces, so that in a Redis Cluster all keys
 * of one model live in one slot and a script may touch several of them.
 */

/** Prefix of all BullMQ keys. */
export const QUEUE_PREFIX = 'janus';

/** Hash: model name → JSON of its `ModelCard`. */
export const modelsKey = 'janus:models';

/** BullMQ queue of `SequenceJob`s of a model. BullMQ forbids `:` in queue names, so it is escaped. */
export const requestQueueName = (model: string): string =>
  `requests.{${model.replaceAll('%', '%25').replaceAll(':', '%3A')}}`;

/** String with a time to live, which BullMQ keeps: the token of whoever works at one job of that queue. */
export const jobLockKey = (model: string, jobId: string): string =>
  `${QUEUE_PREFIX}:${requestQueueName(model)}:${jobId}:lock`;

/**
 * Hash: what the fair order of one level of that queue has given out (shared/admission/fair-priority.ts). Its braces hold what
 * those of the queue's keys hold.
 */
export const fairOrderKey = (model: string, level: number): string =>
  `janus:fair.${requestQueueName(model)}:${level}`;

/** Stream of `TokenEvent`s of one request; each entry has one field, `event`, holding JSON. */
export const tokenStreamKey = (requestId: string): string => `janus:tokens:${requestId}`;
export const TOKEN_STREAM_FIELD = 'event';
/** A stream that nobody reads any more disappears after this many seconds. */
export const TOKEN_STREAM_TTL_S = 600;

/** Pub/sub channel on which hosts tell one gateway what they write for its requests (ring.ts); the streams are the durable form. */
export const doorbellChannel = (gateway: string): string => `janus:doorbell:${gateway}`;
/** The same for a single request that several gateways may read. */
export const requestDoorbellChannel = (requestId: string): string => `janus:doorbell:request:${requestId}`;

/**
 * String with a time to live: JSON of what it takes to send a resumable answer again, from its token stream. Resumable answers
 * of all models lie in one slot, so that one script may count and keep them.
 */
export const resumableKey = (requestId: string): string => `janus:{streams}:answer:${requestId}`;
/** Sorted set: `<request id> <model>` of those under way, by Unix time in ms until when they are not cancelled. */
export const resumableLeasesKey = 'janus:{streams}:leases';

/** String, set while a request is cancelled: Unix time in milliseconds at which the client was found gone. */
export const cancelledKey = (requestId: string): string => `janus:cancelled:${requestId}`;
/** Pub/sub channel on which the ids of cancelled requests of a model are told; the key above is the durable form. */
export const cancelChannel = (model: string): string => `janus:{${model}}:cancel`;

/** List of the ids of requests to the tokenizer of a model, oldest first. */
export const tokenizationListKey = (model: string): string => `janus:{${model}}:tokenizations`;
/** String with a time to live: JSON of such a `TokenizationRequest`, while somebody waits for its answer. */
export const tokenizationKey = (model: string, requestId: string): string =>
  `janus:{${model}}:tokenization:${requestId}`;

/** Set of the ids of all API keys. It keeps those of revoked keys too: while it exists, requests need a key. */
export const accessKeysKey = 'janus:{access}:keys';
/** Hash: what one API key may do, and the digest of its secret. */
export const accessKeyKey = (id: string): string => `janus:{access}:key:${id}`;
/** Hashes: Unix second → requests, or tokens, that an API key took in it. They hold the last minute. */
export const keyRequestsKey = (id: string): string => `janus:{access:${id}}:requests`;
export const keyTokensKey = (id: string): string => `janus:{access:${id}}:tokens`;

/**
 * Files and batches lie in one slot, so that one script may move a batch together with its files. An owner is the API key
 * that sent them. Sorted sets: ids of an owner's files, and of its batches, in the order in which they were made.
 */
export const filesKey = (owner: string): string => `janus:{batches}:files:${owner}`;
export const batchesKey = (owner: string): string => `janus:{batches}:batches:${owner}`;
/** Counter whose values order those sets. */
export const batchSequenceKey = 'janus:{batches}:sequence';
/** Hash: record of one file, without its bytes. */
export const fileKey = (id: string): string => `janus:{batches}:file:${id}`;
/** Hash: record of one batch. */
export const batchKey = (id: string): string => `janus:{batches}:batch:${id}`;
/** Sorted set: ids of the batches of all owners that have not ended, oldest first. */
export const openBatchesKey = 'janus:{batches}:open';
/** String with a time to live: token of the claim under which a batch is run. */
export const batchLeaseKey = (id: string): string => `janus:{batches}:lease:${id}`;
/** Bitmap: a batch's lines that have a result, by line number. */
export const batchDoneKey = (id: string): string => `janus:{batches}:done:${id}`;
/** Hash: `<claim's token>:<kind of result>` → bytes that the claim wrote and that count. */
export const batchPartsKey = (id: string): string => `janus:{batches}:parts:${id}`;

/** Set of the ids of the hosts that registered for a model. */
export const membersKey = (model: string): string => `janus:{${model}}:members`;
/** String with a time to live: JSON of one host's `HostRecord`, renewed by its heartbeat. */
export const hostKey = (model: string, host: string): string => `janus:{${model}}:host:${host}`;
/** String: JSON of the `Placement` in force. */
export const placementKey = (model: string): string => `janus:{${model}}:placement`;
/** String: Unix time in milliseconds, by Redis' clock, at which it was put in force. */
export const placementTimeKey = (model: string): string => `janus:{${model}}:placement-time`;
/**
 * Hash: the `Placement` that is to follow the one in force (`placement`), the version that it was made from (`from`), a list of
 * the hosts that have to load their share before (`hosts`), and the Unix time in ms at which it was published (`at`).
 */
export const wantedPlacementKey = (model: string): string => `janus:{${model}}:wanted-placement`;
/** Set of the hosts that have loaded their share of it. */
export const preparedHostsKey = (model: string): string => `janus:{${model}}:prepared-hosts`;
/** String: version of the wanted placement that was given up last; while it is over that in force, none has come in force since. */
export const givenUpPlacementKey = (model: string): string => `janus:{${model}}:given-up-placement`;
/** String: JSON of the `DriftState` of a model (replacement/drift.ts), which its scaler keeps. */
export const driftStateKey = (model: string): string => `janus:{${model}}:drift`;
/** Counter: the last version that was given to a placement. Versions of placements that never came in force are not used again. */
export const placementVersionKey = (model: string): string => `janus:{${model}}:placement-version`;
/** Pub/sub channel on which changes of these keys are told, by version; the keys are the durable form. */
export const placementChannel = (model: string): string => `janus:{${model}}:placement-changes`;
/** Hash: attention instance → window of the routing that it saw, encoded as in `placement/trace-codec.ts`. */
export const activationTraceKey = (model: string): string => `janus:{${model}}:activation-trace`;
/** Sorted set: attention instance by Unix time in ms at which it stored its window. */
export const activationTraceTimesKey = (model: string): string => `janus:{${model}}:activation-trace-times`;
/** A window that was not stored anew for this long is dropped. */
export const ACTIVATION_TRACE_TTL_MS = 300_000;

/** List of layer-step frames for one expert host. */
export const dispatchListKey = (model: string, host: string): string => `janus:{${model}}:dispatch:${host}`;
/** List of messages that join the answers of several hosts, for one attention instance. */
export const relayAnswerListKey = (model: string, attention: string): string =>
  `janus:{${model}}:relayed:${attention}`;
/** Hash of the answers to one relayed frame that have come so far, by position of their host. */
export const gatherKey = (model: string, attention: string, sequence: number): string =>
  `janus:{${model}}:gather:${attention}:${sequence}`;

/** List of answers for one attention instance. */
export const answerListKey = (model: string, attention: string): string =>
  `janus:{${model}}:answers:${attention}`;

/** String: JSON of the `PerformanceProfile` of a model (scaling.ts), of its `ScalingTarget`, and of what its scaler keeps. */
export const performanceProfileKey = (model: string): string => `janus:{${model}}:performance`;
export const scalingTargetKey = (model: string): string => `janus:{${model}}:scaling-target`;
export const scalerRecordKey = (model: string): string => `janus:{${model}}:scaler`;
/** String: JSON of the `TrafficTable` that the scaler made last. */
export const trafficTableKey = (model: string): string => `janus:{${model}}:traffic-table`;
/** String: JSON of the `WantedSizes` that whoever starts and ends instances follows. */
export const wantedSizesKey = (model: string): string => `janus:{${model}}:wanted-sizes`;
/** List: JSON of each `ScalerDecision` of the last day, newest first. */
export const scalerDecisionsKey = (model: string): string => `janus:{${model}}:scaler-decisions`;
