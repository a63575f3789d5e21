import { openAsBlob } from 'node:fs';
import { basename } from 'node:path';
import { JanusError } from '../../../shared/errors/janus-error.ts';

/** What this program reads of OpenAI's batch object. */
export interface BatchObject {
  readonly id: string;
  readonly status: string;
  readonly errors: {
    readonly data: readonly { readonly line: number | null; readonly message: string }[];
  } | null;
  readonly output_file_id: string | null;
  readonly error_file_id: string | null;
  readonly request_counts: { readonly total: number; readonly completed: number; readonly failed: number };
}

export interface GatewayAddress {
  readonly url: string;
  readonly apiKey: string | undefined;
}

/** A gateway's routes of files and batches. All functions throw a {@link JanusError} with what the gateway says. */
export interface GatewayClient {
  /** Sends a file as it is read. @returns its id */
  readonly upload: (path: string) => Promise<string>;
  readonly create: (inputFileId: string, endpoint: string) => Promise<BatchObject>;
  readonly find: (batchId: string) => Promise<BatchObject>;
  readonly cancel: (batchId: string) => Promise<BatchObject>;
  readonly content: (fileId: string) => Promise<ReadableStream<Uint8Array>>;
}

/** No answer at all, as while a gateway restarts. */
export class UnreachableError extends JanusError {}

const JSON_HEADERS = { 'Content-Type': 'application/json' };

/** The address as users write it, with or without OpenAI's `/v1`. */
const rootOf = (url: string): string => url.replace(/\/+$/, '').replace(/\/v1$/, '');

function unreachable(url: string, error: unknown): UnreachableError {
  const { cause, message } = error as Error;
  const reason = cause instanceof Error && cause.message !== '' ? cause.message : message;
  return new UnreachableError(`No gateway answers at ${url} (${reason}): start one, or give another --url.`);
}

async function openFile(path: string): Promise<Blob> {
  try {
    return await openAsBlob(path);
  } catch (error) {
    throw new JanusError(`${path} cannot be read (${(error as Error).message}).`);
  }
}

async function refusal(response: Response): Promise<JanusError> {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text) as { error: { message: string } };
    return new JanusError(`The gateway refused (${response.status}): ${error.message}`);
  } catch {
    return new JanusError(`The gateway answered ${response.status}, and not as a gateway of Janus does.`);
  }
}

export function createGatewayClient({ url, apiKey }: GatewayAddress): GatewayClient {
  const root = rootOf(url);

  const send = async (path: string, init: RequestInit = {}): Promise<Response> => {
    const headers = new Headers(init.headers);
    if (apiKey !== undefined) headers.set('Authorization', `Bearer ${apiKey}`);
    let response: Response;
    try {
      response = await fetch(`${root}/v1${path}`, { ...init, headers });
    } catch (error) {
      throw unreachable(root, error);
    }
    if (!response.ok) throw await refusal(response);
    return response;
  };
  const read = async <T>(path: string, init?: RequestInit): Promise<T> =>
    (await (await send(path, init)).json()) as T;

  return {
    async upload(path) {
      const form = new FormData();
      form.append('purpose', 'batch');
      form.append('file', await openFile(path), basename(path));
      return (await read<{ id: string }>('/files', { method: 'POST', body: form })).id;
    },
    create: (inputFileId, endpoint) => {
      const fields = { input_file_id: inputFileId, endpoint, completion_window: '24h' };
      return read('/batches', { method: 'POST', headers: JSON_HEADERS, body: JSON.stringify(fields) });
    },
    find: (batchId) => read(`/batches/${encodeURIComponent(batchId)}`),
    cancel: (batchId) => read(`/batches/${encodeURIComponent(batchId)}/cancel`, { method: 'POST' }),
    async content(fileId) {
      const { body } = await send(`/files/${encodeURIComponent(fileId)}/content`);
      if (body === null) throw new JanusError(`The gateway sent nothing of the file ${fileId}.`);
      return body;
    },
  };
}
