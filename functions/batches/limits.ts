/** What one gateway process bears of files and batches. */
export interface BatchLimits {
  /** Largest file that is uploaded, in bytes, in lines, and in bytes per line. */
  readonly fileBytes: number;
  readonly fileLines: number;
  readonly lineBytes: number;
  /** Uploads at the same time. */
  readonly uploads: number;
  /** Files that one owner may keep. */
  readonly files: number;
  /** Batches of all owners that have not ended. */
  readonly openBatches: number;
  /** Batches that one process runs at the same time. */
  readonly runningBatches: number;
  /** Lines of one batch that are with the pools, or wait for them, at the same time. */
  readonly linesInFlight: number;
  /** How long a batch stays a process's own that tells nothing, in milliseconds. */
  readonly leaseMs: number;
  /** How often a process tells that it runs a batch, and asks whether the batch was cancelled, in milliseconds. */
  readonly heartbeatMs: number;
  /** How often a process looks for batches that nobody runs, in milliseconds. */
  readonly pollMs: number;
  /** Waits before a line is tried once more, in milliseconds: there is one attempt more than waits. */
  readonly retryDelaysMs: readonly number[];
  /** Time after which a line of which the pools tell nothing is queued anew, unless it is queued still, in milliseconds. */
  readonly askAgainMs: number;
}

export const DEFAULT_BATCH_LIMITS: BatchLimits = {
  fileBytes: 200 * 1024 * 1024,
  fileLines: 50_000,
  lineBytes: 1024 * 1024,
  uploads: 16,
  files: 10_000,
  openBatches: 100,
  runningBatches: 4,
  linesInFlight: 32,
  leaseMs: 10_000,
  heartbeatMs: 1_000,
  pollMs: 1_000,
  retryDelaysMs: [1_000, 4_000, 16_000],
  askAgainMs: 60_000,
};

/** The one completion window that there is, as OpenAI's. */
export const COMPLETION_WINDOW = '24h';
export const COMPLETION_WINDOW_S = 24 * 60 * 60;
/** Records of batches that have ended are kept for this long; of one owner's batches the latest so many are listed. */
export const ENDED_BATCH_TTL_S = 30 * 24 * 60 * 60;
export const LISTED_BATCHES = 10_000;
/** Errors of an input file that a batch tells. */
export const REPORTED_ERRORS = 100;
/** Longest `custom_id`, in UTF-16 units. */
export const CUSTOM_ID_LENGTH = 512;
/** Parts outlive the end of their batch for so long: a Redis that crashes may forget its last second, and with it the end. */
export const PARTS_GRACE_MS = 60_000;
