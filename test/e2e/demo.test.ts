import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { goldenAnswer } from '../support/golden-answers.ts';
import { usePrograms } from '../support/program.ts';

const QUESTIONS = ['What does "biology" mean?', 'Define "tournament".', 'Define "fifty".'];
/** Experts per layer of the shipped model. */
const EXPERTS = 32;
const demo = usePrograms('infra/demo/demo.ts');
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'janus-e2e-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** The numbers of the only line that begins with `head`. */
function numbersAfter(output: string, head: string): number[] {
  const lines = output.split('\n').filter((line) => line.startsWith(`${head} `));
  expect(lines, head).toHaveLength(1);
  return lines[0]!
    .slice(head.length)
    .replaceAll(',', '')
    .match(/\d+(\.\d+)?/g)!
    .map(Number);
}

describe('the demo', () => {
  it('shows true definitions and what they cost, and leaves nothing behind', async () => {
    const { status, stdout, stderr } = await demo([], { TMPDIR: folder }).ended;
    expect(stderr).toBe('');
    expect(status).toBe(0);
    // Colours and cursor movements are for terminals.
    expect([...stdout].filter((character) => character < ' ' && character !== '\n')).toEqual([]);
    for (const question of QUESTIONS) {
      expect(stdout).toContain(`${question}\n  ${goldenAnswer(question).replaceAll('\n', '\n  ')}\n`);
      const [tokens, firstTokenMs, perTokenMs, perSecond] = numbersAfter(
        stdout.slice(stdout.indexOf('TTFT')),
        question,
      );
      expect(Math.min(tokens!, firstTokenMs!, perTokenMs!, perSecond!)).toBeGreaterThan(0);
    }
    const [, instances] = /served by .* and (\d+) expert instance/.exec(stdout)!;
    for (let instance = 0; instance < Number(instances); instance++) {
      const [mean, largest] = numbersAfter(stdout, `expert instance ${instance}`);
      expect(mean).toBeGreaterThan(0);
      expect(largest).toBeGreaterThanOrEqual(mean!);
      expect(largest).toBeLessThanOrEqual(Math.ceil(EXPERTS / Number(instances)));
    }
    const exchange = numbersAfter(stdout, 'attention to experts and back, shared-memory');
    const [layerSteps, meanBytes, meanMs, largestMs] = exchange;
    expect(Math.min(layerSteps!, meanBytes!, meanMs!)).toBeGreaterThan(0);
    expect(largestMs).toBeGreaterThan(meanMs!);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('stays up with --serve until it is told to end', async () => {
    const program = demo(['--serve'], { TMPDIR: folder });
    const [, url] = await program.waitFor(/Still serving.* curl (http\S+?)\/v1\//);
    expect((await fetch(`${url}/v1/models`)).status).toBe(200);
    program.kill('SIGTERM');
    expect((await program.ended).status).toBe(0);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('fails when the system does not start', async () => {
    const { status, stderr } = await demo([], { REDIS_URL: 'redis://127.0.0.1:1' }).ended;
    expect(stderr).toContain('ECONNREFUSED');
    expect(status).toBe(1);
  });
});
