import { expect, it } from 'vitest';
import { readMembers } from '../../gpu-pool/host/membership.ts';
import { wantedSizesKey } from '../../shared/protocol/keys.ts';
import type { WantedSizes } from '../../shared/protocol/scaling.ts';
import { define, TestClient } from '../support/generate.ts';
import { usePrograms } from '../support/program.ts';
import { useRedis } from '../support/redis.ts';
import { DICTIONARY_MODEL } from '../support/test-host.ts';

const START_LIMIT_MS = 30_000;
const redis = useRedis();
const janus = usePrograms('infra/cli/janus.ts');

it('a supervisor follows what is wanted, and no answer suffers from an instance that comes or goes', async () => {
  const sizes = ['--first', '1A1E', '--most', '2A1E'];
  const supervisor = janus(['supervise', ...sizes, '--redis', redis.url, '--', '--kv-slots', '4']);
  await supervisor.waitFor(/attention: process \d+ serves/);
  const client = new TestClient(redis.url);
  const attention = async () =>
    (await readMembers(client.redis, DICTIONARY_MODEL)).filter((member) => member.role === 'attention');
  const want = (version: number, count: number): Promise<unknown> => {
    const wanted: WantedSizes = { version, attention: count, experts: 1, atMs: 0, reason: 'the test' };
    return client.redis.set(wantedSizesKey(DICTIONARY_MODEL), JSON.stringify(wanted));
  };
  const alone = await client.generate({ prompt: define('window') });

  let changing = true;
  const answers: string[] = [];
  const askOnAndOn = async (): Promise<void> => {
    while (changing) {
      const { end, text } = await client.generate({ prompt: define('window') });
      answers.push(end.kind === 'finished' ? text : JSON.stringify(end));
    }
  };
  const asking = Array.from({ length: 6 }, askOnAndOn);
  await want(1, 5);
  const ready = async () =>
    (await attention()).filter(({ attention: [instance] }) => instance?.state === 'ready').length;
  await expect.poll(ready, { timeout: START_LIMIT_MS }).toBe(2);
  await want(2, 1);
  await expect.poll(async () => (await attention()).length, { timeout: START_LIMIT_MS }).toBe(1);
  changing = false;
  await Promise.all(asking);
  expect(answers.length).toBeGreaterThan(6);
  expect(new Set(answers)).toEqual(new Set([alone.text]));

  supervisor.kill('SIGTERM');
  expect(await supervisor.ended).toMatchObject({ status: 0, stderr: '' });
  expect(await readMembers(client.redis, DICTIONARY_MODEL)).toEqual([]);
  await client.close();
}, 60_000);

it('hosts do not outlive a supervisor that was killed', async () => {
  const sizes = ['--first', '0A1E', '--most', '1A1E'];
  const supervisor = janus(['supervise', ...sizes, '--redis', redis.url]);
  const [, processId] = await supervisor.waitFor(/experts: process (\d+) serves/);
  supervisor.kill('SIGKILL');
  await supervisor.ended;
  const isRunning = (): boolean => {
    try {
      return process.kill(Number(processId), 0);
    } catch {
      return false;
    }
  };
  await expect.poll(isRunning, { timeout: START_LIMIT_MS }).toBe(false);
}, 60_000);

it('a supervisor refuses flags of hosts that it gives itself', async () => {
  const args = [
    'supervise',
    '--first',
    '1A1E',
    '--most',
    '1A1E',
    '--redis',
    redis.url,
    '--',
    '--role',
    'both',
  ];
  const { status, stderr } = await janus(args).ended;
  expect(status).toBe(1);
  expect(stderr).toMatch(/--role stands behind --.*leave it out/);
});
