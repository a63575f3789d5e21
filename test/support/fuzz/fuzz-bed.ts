import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startBatches } from '../../../functions/batches/start-batches.ts';
import { systemClock } from '../../../functions/clock.ts';
import { createDoorbellStreams } from '../../../functions/dispatcher/doorbell-streams.ts';
import type { TokenStreams } from '../../../functions/dispatcher/token-streams.ts';
import { createAccess } from '../../../functions/gateway/access/access.ts';
import { type Admission, createAdmission } from '../../../functions/gateway/admission.ts';
import { DEFAULT_GATEWAY_LIMITS } from '../../../functions/gateway/limits.ts';
import { type OpenGateway, openGateway } from '../../../functions/gateway/runtime.ts';
import { connectRedis } from '../../../functions/redis-client.ts';
import { FAST_LIMITS } from '../gateway/batch-bed.ts';
import { MODEL } from '../gateway/bed.ts';
import { startRedis, type TestRedis } from '../gateway/redis-server.ts';
import { answer, type ScriptedPool, startScriptedPool } from '../gateway/scripted-pool.ts';
import { startScriptedTokenizer } from './scripted-tokenizer.ts';
import { INPUT_FILE, type KnownIds } from './seeds.ts';

/** So many files are kept, so that most uploads are refused only in the end. */
const MAX_FILES = 40;
const MAX_OPEN_BATCHES = 20;

/** A gateway without a socket, at a real Redis and a pool that answers at once. */
export interface FuzzBed {
  readonly app: OpenGateway['app'];
  readonly redis: TestRedis;
  readonly pool: ScriptedPool;
  readonly admission: Admission;
  readonly ids: KnownIds;
  /** Token streams that are being read. */
  readonly openStreams: () => number;
  /** What the gateway reported as defects. */
  readonly defects: readonly unknown[];
  readonly close: () => Promise<void>;
}

function counted(streams: TokenStreams): { streams: TokenStreams; open: () => number } {
  let open = 0;
  return {
    open: () => open,
    streams: {
      ...streams,
      open(...how) {
        const stream = streams.open(...how);
        const close = stream.close.bind(stream);
        open += 1;
        stream.close = () => {
          open -= 1;
          close();
        };
        return stream;
      },
    },
  };
}

/** Uploads the input file. @returns its id */
async function upload(app: OpenGateway['app']): Promise<string> {
  const form = new FormData();
  for (const { name, filename, value } of INPUT_FILE) {
    if (filename === undefined) form.set(name, value);
    else form.set(name, new Blob([value]), filename);
  }
  const response = await app.request('/v1/files', { method: 'POST', body: form });
  return ((await response.json()) as { id: string }).id;
}

async function prepare(app: OpenGateway['app']): Promise<KnownIds> {
  const [file, spareFile] = [await upload(app), await upload(app)];
  const batch = { input_file_id: file, endpoint: '/v1/chat/completions', completion_window: '24h' };
  const response = await app.request('/v1/batches', { method: 'POST', body: JSON.stringify(batch) });
  return { file, spareFile, batch: ((await response.json()) as { id: string }).id };
}

export async function createFuzzBed(): Promise<FuzzBed> {
  const redis = await startRedis();
  const pool = await startScriptedPool(redis.url, MODEL);
  pool.play(({ choice }, emit) => emit(...answer(choice, ['a', ' harbor'])));
  const endTokenizer = startScriptedTokenizer(redis.url, MODEL);
  const folder = await mkdtemp(join(tmpdir(), 'janus-fuzz-'));
  const client = await connectRedis(redis.url, () => {});
  const { streams, open } = counted(await createDoorbellStreams(client, 'fuzz'));
  const admission = createAdmission(DEFAULT_GATEWAY_LIMITS.openRequests);
  const defects: unknown[] = [];
  const limits = { ...FAST_LIMITS, files: MAX_FILES, openBatches: MAX_OPEN_BATCHES };
  const { app, close } = await openGateway({
    redis: client,
    streams,
    limits: DEFAULT_GATEWAY_LIMITS,
    clock: systemClock,
    admission,
    access: createAccess(client, { anonymous: true }),
    openBatches: (dependencies) => startBatches({ folder, limits }, dependencies),
    report: (error) => void defects.push(error),
  });
  const ids = await prepare(app);

  return {
    app,
    redis,
    pool,
    admission,
    ids,
    openStreams: open,
    defects,
    async close() {
      await close();
      await pool.close();
      endTokenizer();
      await redis.stop();
      await rm(folder, { recursive: true });
    },
  };
}
