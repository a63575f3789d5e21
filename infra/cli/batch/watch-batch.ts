import { setTimeout as sleep } from 'node:timers/promises';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { type ProgressStream, ProgressView } from '../pack/progress-view.ts';
import { type BatchObject, type GatewayClient, UnreachableError } from './gateway-client.ts';

const POLL_MS = 1_000;
/** How often in a row the gateway may not answer. */
const UNREACHABLE_POLLS = 30;
const ENDS = ['completed', 'failed', 'expired', 'cancelled'];
/** Errors of the input file that are shown. */
const SHOWN_ERRORS = 20;

const doneOf = ({ request_counts: { completed, failed } }: BatchObject): number => completed + failed;

async function findPatiently(client: GatewayClient, batchId: string): Promise<BatchObject> {
  for (let failures = 1; ; failures++) {
    try {
      return await client.find(batchId);
    } catch (error) {
      if (!(error instanceof UnreachableError) || failures === UNREACHABLE_POLLS) throw error;
    }
    await sleep(POLL_MS);
  }
}

/** How a batch ended, for people. */
export function formatEnding({ id, status, request_counts: counts, errors }: BatchObject): string {
  const summary = `${id} is ${status}: ${counts.completed} of ${counts.total} answered, ${counts.failed} failed`;
  const wrong = errors?.data ?? [];
  const lines = wrong
    .slice(0, SHOWN_ERRORS)
    .map(({ line, message }) => (line === null ? `  ${message}` : `  line ${line}: ${message}`));
  if (wrong.length > SHOWN_ERRORS) lines.push(`  and ${wrong.length - SHOWN_ERRORS} more`);
  return [summary, ...lines].join('\n');
}

/**
 * Shows a batch's progress until its end.
 *
 * @param stream told how far it is
 * @returns the batch as it ended
 * @throws JanusError when the gateway does not answer for long
 */
export async function watchBatch(
  client: GatewayClient,
  batchId: string,
  stream: ProgressStream,
): Promise<BatchObject> {
  // Nothing is wrong with a batch that cannot be reached later on, but with one that cannot be found at first.
  let batch = await client.find(batchId);
  const view = new ProgressView(stream, () => performance.now(), 'requests', doneOf(batch));
  try {
    while (!ENDS.includes(batch.status)) {
      const { total } = batch.request_counts;
      if (total > 0) view.show(doneOf(batch), total);
      await sleep(POLL_MS);
      batch = await findPatiently(client, batchId);
    }
  } finally {
    view.clear();
  }
  return batch;
}

/** @throws JanusError when a batch ended otherwise than it should */
export function checkCompleted(batch: BatchObject): void {
  if (batch.status !== 'completed') throw new JanusError(formatEnding(batch));
}
