import type { R2Bucket } from '@cloudflare/workers-types';
import { convertV4MiniflareOptions, Miniflare, NoOpLog } from 'miniflare';

const BINDING = 'FILES';

/** A bucket of R2 as Cloudflare's simulator keeps it in memory. */
export interface TestBucket {
  readonly bucket: R2Bucket;
  /** Of all objects, in order. */
  readonly keys: () => Promise<string[]>;
  readonly close: () => Promise<void>;
}

export async function startBucket(): Promise<TestBucket> {
  const simulator = new Miniflare(
    convertV4MiniflareOptions({
      modules: true,
      script: 'export default { fetch() { return new Response(); } };',
      r2Buckets: [BINDING],
      cf: false,
      telemetry: { enabled: false },
      log: new NoOpLog(),
    }),
  );
  // Its type names the streams of Node, where those of Workers have the same functions.
  const bucket = (await simulator.getR2Bucket(BINDING)) as unknown as R2Bucket;
  return {
    bucket,
    async keys() {
      const keys: string[] = [];
      for (let after: string | undefined; ; after = keys.at(-1)) {
        const page = await bucket.list(after === undefined ? {} : { startAfter: after });
        keys.push(...page.objects.map(({ key }) => key));
        if (!page.truncated) return keys;
      }
    },
    close: () => simulator.dispose(),
  };
}
