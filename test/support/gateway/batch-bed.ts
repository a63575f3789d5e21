import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI, { toFile } from 'openai';
import { expect, vi } from 'vitest';
import type { BatchLimits } from '../../../functions/batches/limits.ts';
import type { StartGatewayOptions } from '../../../functions/gateway/node.ts';
import type { SequenceJob } from '../../../shared/protocol/request.ts';
import { createGatewayBed, type GatewayBed, type Json, MODEL } from './bed.ts';

const CHAT_ENDPOINT = '/v1/chat/completions';

/** Everything happens fast, so that tests need not wait. */
export const FAST_LIMITS: Partial<BatchLimits> = {
  leaseMs: 1_000,
  heartbeatMs: 30,
  pollMs: 30,
  retryDelaysMs: [5, 5],
  linesInFlight: 4,
};

export interface BatchBed extends GatewayBed {
  readonly folder: string;
  readonly client: OpenAI;
  /** Uploads lines and makes a batch of them. */
  readonly submit: (lines: readonly object[]) => Promise<OpenAI.Batch>;
  /** Waits until a batch is in one of some statuses. */
  readonly until: (batchId: string, ...statuses: OpenAI.Batch['status'][]) => Promise<OpenAI.Batch>;
  readonly results: (fileId: string | undefined) => Promise<ResultLine[]>;
}

/** A line of an output or error file. */
export interface ResultLine {
  readonly id: string;
  readonly custom_id: string;
  readonly response: {
    readonly status_code: number;
    readonly request_id: string;
    readonly body: Json;
  } | null;
  readonly error: { readonly code: string; readonly message: string } | null;
}

/** A chat request whose only message is `content`. */
export const chatLine = (customId: string, content = customId, fields: object = {}) => ({
  custom_id: customId,
  method: 'POST',
  url: CHAT_ENDPOINT,
  body: { model: MODEL, messages: [{ role: 'user', content }], ...fields },
});

export const chatLines = (count: number) =>
  Array.from({ length: count }, (_, index) => chatLine(`line-${index + 1}`));

export const jsonl = (lines: readonly object[]): string =>
  lines.map((line) => `${JSON.stringify(line)}\n`).join('');

/** The message of a job of {@link chatLine}; '' of any other. */
export const contentOf = ({ prompt }: SequenceJob): string =>
  prompt.kind === 'chat' ? prompt.messages[0]!.content : '';

export const clientOf = (address: string): OpenAI =>
  new OpenAI({ baseURL: `${address}/v1`, apiKey: 'unused', maxRetries: 0 });

/** A bed whose gateway keeps files and runs batches. */
export async function createBatchBed(
  limits: Partial<BatchLimits> = {},
  options: Partial<StartGatewayOptions> = {},
): Promise<BatchBed> {
  const folder = await mkdtemp(join(tmpdir(), 'janus-files-'));
  const files = { folder, limits: { ...FAST_LIMITS, ...limits } };
  const bed = await createGatewayBed({ files, ...options });
  const client = clientOf(bed.address);

  return {
    ...bed,
    folder,
    client,
    async submit(lines) {
      const file = await client.files.create({
        file: await toFile(Buffer.from(jsonl(lines)), 'in.jsonl'),
        purpose: 'batch',
      });
      return client.batches.create({
        input_file_id: file.id,
        endpoint: CHAT_ENDPOINT,
        completion_window: '24h',
      });
    },
    until: (batchId, ...statuses) =>
      vi.waitFor(
        async () => {
          const batch = await client.batches.retrieve(batchId);
          expect(statuses).toContain(batch.status);
          return batch;
        },
        { timeout: 20_000, interval: 10 },
      ),
    async results(fileId) {
      const text = await (await client.files.content(fileId!)).text();
      return text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as ResultLine);
    },
    async close() {
      await bed.close();
      await rm(folder, { recursive: true });
    },
  };
}
