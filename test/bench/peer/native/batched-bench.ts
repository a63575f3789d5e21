import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const PROGRAM = 'llama-batched-bench';
const LIMIT_MS = 30 * 60_000;
const MAX_OUTPUT_BYTES = 2 ** 20;

/** What native llama.cpp reached for one number of sequences. */
export interface NativeSpeed {
  readonly sequences: number;
  readonly prefillTokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
}

/** Path of the program, where it is on PATH. */
export function findBatchedBench(path = process.env.PATH ?? ''): string | undefined {
  return path
    .split(delimiter)
    .map((folder) => join(folder, PROGRAM))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/**
 * Runs llama.cpp's own benchmark of batched decoding.
 *
 * @param sequences numbers of sequences to measure
 * @throws Error when the program fails
 */
export async function runBatchedBench(
  program: string,
  options: {
    readonly modelPath: string;
    readonly promptTokens: number;
    readonly tokens: number;
    readonly sequences: readonly number[];
    readonly threads: number;
  },
): Promise<NativeSpeed[]> {
  const { modelPath, promptTokens, tokens, sequences, threads } = options;
  const contextSize = Math.max(...sequences) * (promptTokens + tokens);
  const flags = {
    '-m': modelPath,
    '-c': contextSize,
    '-npp': promptTokens,
    '-ntg': tokens,
    '-npl': sequences.join(','),
    '-t': threads,
    '-tb': threads,
    '--output-format': 'jsonl',
  };
  const args = Object.entries(flags).flatMap(([flag, value]) => [flag, String(value)]);
  const { stdout } = await promisify(execFile)(program, args, {
    timeout: LIMIT_MS,
    maxBuffer: MAX_OUTPUT_BYTES,
  });
  return parseBatchedBench(stdout);
}

/** One line of the program's output in the format `jsonl`. */
interface Line {
  readonly pl: number;
  readonly speed_pp: number;
  readonly speed_tg: number;
}

/** Reads the JSON lines among whatever else the program prints. */
export function parseBatchedBench(output: string): NativeSpeed[] {
  return output
    .split('\n')
    .filter((line) => line.startsWith('{') && line.includes('"speed_tg"'))
    .map((line) => {
      const { pl, speed_pp, speed_tg } = JSON.parse(line) as Line;
      return { sequences: pl, prefillTokensPerSecond: speed_pp, decodeTokensPerSecond: speed_tg };
    });
}
