import { afterEach, describe, expect, it } from 'vitest';
import type { HostCommand } from './host-process.ts';
import { LocalActuator } from './local-actuator.ts';
import { restartDelayMs } from './process-pool.ts';

/** A program that behaves as a host does towards who starts it, and loads nothing. */
const host = (script: string): HostCommand => ({ program: process.execPath, args: ['-e', script] });
const SERVES = `setInterval(() => {}, 1000); process.on('SIGTERM', () => process.exit(0)); console.log('ready: host');`;

const isRunning = (processId: number): boolean => {
  try {
    return process.kill(processId, 0);
  } catch {
    return false;
  }
};

let actuator: LocalActuator;
let lines: string[] = [];
afterEach(() => actuator.close());

function open(command: HostCommand): LocalActuator {
  lines = [];
  actuator = new LocalActuator({
    model: 'words',
    least: { attention: 0, experts: 1 },
    most: { attention: 3, experts: 2 },
    command: () => command,
    backoff: { firstMs: 50, mostMs: 400 },
    log: (line) => lines.push(line),
  });
  return actuator;
}

describe('LocalActuator', () => {
  it('starts and drains processes until there are as many as it was told, within its bounds', async () => {
    open(host(SERVES));
    const applied = await actuator.apply('words', { attention: 9, experts: 0 });
    const sizes = { attention: 3, experts: 1 };
    expect(applied).toEqual({ kind: 'applied', from: { attention: 0, experts: 0 }, sizes });
    await expect.poll(() => actuator.ready, { timeout: 5_000 }).toEqual(sizes);
    const { processIds } = actuator;
    expect(processIds).toHaveLength(4);
    expect(await actuator.apply('words', { attention: 3, experts: 1 })).toEqual({ kind: 'unchanged', sizes });
    await actuator.apply('words', { attention: 1, experts: 1 });
    await expect.poll(() => actuator.processIds.length, { timeout: 5_000 }).toBe(2);
    // The oldest, which has kept the most of prompts, stays.
    expect(actuator.processIds[0]).toBe(processIds[0]);
    expect(await actuator.read('words')).toEqual({ attention: 1, experts: 1 });
    expect(await actuator.read('others')).toBeNull();
    expect(await actuator.apply('others', sizes)).toMatchObject({ kind: 'refused' });
    await actuator.close();
    expect(processIds.filter(isRunning)).toEqual([]);
  });

  it('starts again what ended by itself', async () => {
    open(host(SERVES));
    await actuator.apply('words', { attention: 1, experts: 1 });
    await expect.poll(() => actuator.ready, { timeout: 5_000 }).toEqual({ attention: 1, experts: 1 });
    const [killed] = actuator.processIds;
    process.kill(killed!, 'SIGKILL');
    await expect.poll(() => isRunning(killed!)).toBe(false);
    await expect.poll(() => actuator.ready, { timeout: 5_000 }).toEqual({ attention: 1, experts: 1 });
    expect(actuator.processIds).not.toContain(killed);
    expect(lines.join('\n')).toContain(`process ${killed} ended by itself (SIGKILL)`);
  });

  it('starts what keeps failing at ever longer intervals', async () => {
    open(host('process.exit(7)'));
    await actuator.apply('words', { attention: 0, experts: 1 });
    const failures = () => lines.filter((line) => line.includes('ended by itself (7)'));
    await expect.poll(() => failures().length, { timeout: 5_000 }).toBeGreaterThanOrEqual(3);
    expect(
      failures()
        .slice(0, 3)
        .map((line) => line.split('in ').at(-1)),
    ).toEqual(['0.05 s', '0.1 s', '0.2 s']);
    expect([1, 2, 3, 4, 5, 60].map((count) => restartDelayMs({ firstMs: 50, mostMs: 400 }, count))).toEqual([
      50, 100, 200, 400, 400, 400,
    ]);
  });

  it('says what is wrong with a program that is not there', async () => {
    open({ program: '/nowhere/node', args: [] });
    await actuator.apply('words', { attention: 0, experts: 1 });
    await expect.poll(() => lines.join('\n')).toContain('ENOENT');
  });
});
