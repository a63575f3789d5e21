import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { ANSWER, QUESTION } from './asks.ts';
import { expectCancelled, type SdkTarget } from './target.ts';

const SCRIPT = fileURLToPath(new URL('./openai_client.py', import.meta.url));
const PYTHON = process.env.JANUS_PYTHON ?? 'python3';
const CHECKS = ['models', 'chat', 'responses', 'logprobs', 'tools', 'schema', 'errors', 'batches', 'abort'];

const hasPackage = (): boolean => spawnSync(PYTHON, ['-c', 'import openai']).status === 0;

/** Runs the script to its end. @returns the checks that held, and what it printed as errors */
async function runScript(target: SdkTarget): Promise<{ checks: string[]; errors: string }> {
  const child = spawn(PYTHON, [SCRIPT], { stdio: ['pipe', 'pipe', 'pipe'] });
  const errors = text(child.stderr);
  const ended = once(child, 'close');
  const { baseURL, apiKey, model } = target;
  child.stdin.end(JSON.stringify({ baseURL, apiKey, model, question: QUESTION, answer: ANSWER }));
  const checks: string[] = [];
  let ran: Promise<void> | undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    const { check, waits } = JSON.parse(line) as { check?: string; waits?: string };
    if (check !== undefined) checks.push(check);
    if (waits !== 'batch') continue;
    ran = target.runBatches();
    // A failure is told of at the script's end, not before.
    ran.catch(() => {});
  }
  await Promise.all([ended, ran]);
  return { checks, errors: await errors };
}

/** OpenAI's package for Python, where it is installed; `openai_client.py` says how to have it. */
export function describeOpenAIPython(target: () => SdkTarget): void {
  describe.skipIf(!hasPackage())('the openai package for Python, which needs `pip install openai`', () => {
    test('holds all checks, and cancels the stream that it leaves at last', async () => {
      await expectCancelled(target(), async () => {
        expect(await runScript(target())).toEqual({ checks: CHECKS, errors: '' });
      });
    });
  });
}
