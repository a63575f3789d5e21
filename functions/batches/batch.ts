const END_STATUSES = ['completed', 'failed', 'expired', 'cancelled'] as const;
/** What a batch is in, in OpenAI's words; it ends in one of the last four. */
export const BATCH_STATUSES = [
  'validating',
  'in_progress',
  'finalizing',
  'cancelling',
  ...END_STATUSES,
] as const;
export type BatchStatus = (typeof BATCH_STATUSES)[number];
export type EndStatus = (typeof END_STATUSES)[number];

export const isEnded = (status: BatchStatus): status is EndStatus =>
  (END_STATUSES as readonly BatchStatus[]).includes(status);

/** What becomes of a line: a line of the output file, or of the error file. */
export type ResultKind = 'output' | 'error';

/** One thing that is wrong with an input file, in OpenAI's terms. */
export interface BatchError {
  readonly code: string;
  /** Line of the file, from 1 on; null where no line is to blame. */
  readonly line: number | null;
  readonly message: string;
  readonly param: string | null;
}

/** Addresses whose requests a batch may hold. */
export const BATCH_ENDPOINTS = ['/v1/chat/completions', '/v1/completions', '/v1/responses'] as const;
export type BatchEndpoint = (typeof BATCH_ENDPOINTS)[number];

export interface BatchRecord {
  readonly id: string;
  readonly owner: string;
  /** Models that its owner may use; null: all. */
  readonly models: readonly string[] | null;
  readonly endpoint: BatchEndpoint;
  readonly inputFileId: string;
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly status: BatchStatus;
  /** Unix times in seconds. */
  readonly createdAtS: number;
  readonly expiresAtS: number;
  /** When it entered each status that it was in so far. */
  readonly enteredAtS: Readonly<Partial<Record<BatchStatus, number>>>;
  readonly errors: readonly BatchError[];
  /** Lines of the input file that hold a request, and how they ended so far. */
  readonly counts: { readonly total: number; readonly completed: number; readonly failed: number };
  /** Set at its end, where there are such results. */
  readonly outputFileId: string | null;
  readonly errorFileId: string | null;
}

/** What is known of a batch when it is made. */
export type NewBatch = Pick<
  BatchRecord,
  'id' | 'owner' | 'models' | 'endpoint' | 'inputFileId' | 'metadata' | 'createdAtS' | 'expiresAtS'
>;

/** A new batch as fields and values of its hash. Fields that OpenAI's object has too are named as there. */
export const batchFields = (batch: NewBatch): string[] => [
  'owner',
  batch.owner,
  'models',
  JSON.stringify(batch.models),
  'endpoint',
  batch.endpoint,
  'input_file_id',
  batch.inputFileId,
  'metadata',
  JSON.stringify(batch.metadata),
  'status',
  'validating',
  'created_at',
  String(batch.createdAtS),
  'expires_at',
  String(batch.expiresAtS),
];

/** @returns undefined where the hash does not exist */
export function readBatch(id: string, fields: Readonly<Record<string, string>>): BatchRecord | undefined {
  const { owner, status } = fields;
  if (owner === undefined || status === undefined) return undefined;
  const entered = BATCH_STATUSES.flatMap((name) => {
    const atS = fields[`${name}_at`];
    return atS === undefined ? [] : [[name, Number(atS)] as const];
  });
  return {
    id,
    owner,
    models: JSON.parse(fields.models ?? 'null') as BatchRecord['models'],
    endpoint: fields.endpoint as BatchEndpoint,
    inputFileId: fields.input_file_id ?? '',
    metadata: JSON.parse(fields.metadata ?? 'null') as BatchRecord['metadata'],
    status: status as BatchStatus,
    createdAtS: Number(fields.created_at),
    expiresAtS: Number(fields.expires_at),
    enteredAtS: Object.fromEntries(entered),
    errors: JSON.parse(fields.errors ?? '[]') as BatchError[],
    counts: {
      total: Number(fields.total ?? 0),
      completed: Number(fields.completed ?? 0),
      failed: Number(fields.failed ?? 0),
    },
    outputFileId: fields.output_file_id ?? null,
    errorFileId: fields.error_file_id ?? null,
  };
}
