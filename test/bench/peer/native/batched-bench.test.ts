import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { findBatchedBench, runBatchedBench } from './batched-bench.ts';

/** As the program prints it, among lines of its log. */
const OUTPUT = `main: n_kv_max = 3584
{"n_kv_max": 3584, "n_batch": 2048, "n_ubatch": 512, "flash_attn": -1, "is_pp_shared": 0, "n_gpu_layers": -1, "n_threads": 2, "n_threads_batch": 2, "pp": 64, "tg": 48, "pl": 8, "n_kv": 896, "t_pp": 1.25, "speed_pp": 409.6, "t_tg": 4.0, "speed_tg": 96.0, "t": 5.25, "speed": 170.7}

llama_perf_context_print: load time = 100 ms`;
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'janus-native-'));
  const script = `#!/bin/sh\nfor last; do :; done\n[ "$last" = jsonl ] || exit 1\ncat <<'END'\n${OUTPUT}\nEND\n`;
  writeFileSync(join(folder, 'llama-batched-bench'), script, { mode: 0o755 });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('finds the program on PATH and reads its speeds', async () => {
  const program = findBatchedBench(['/nonexistent', folder].join(delimiter));
  expect(program).toBe(join(folder, 'llama-batched-bench'));
  const options = { modelPath: 'model.gguf', promptTokens: 64, tokens: 48, sequences: [8], threads: 2 };
  expect(await runBatchedBench(program!, options)).toEqual([
    { sequences: 8, prefillTokensPerSecond: 409.6, decodeTokensPerSecond: 96 },
  ]);
});

it('finds nothing where it is not installed', () => {
  expect(findBatchedBench('/nonexistent')).toBeUndefined();
});
