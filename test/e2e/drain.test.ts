import { afterEach, expect, it } from 'vitest';
import { MODEL, readJson, readSse } from '../support/gateway/bed.ts';
import { answer, type ScriptedPool, startScriptedPool } from '../support/gateway/scripted-pool.ts';
import { usePrograms } from '../support/program.ts';
import { useRedis } from '../support/redis.ts';

const PROMPT = 'xylophone-in-the-prompt';
const ANSWER = 'zeppelin-in-the-answer';

const redis = useRedis();
const janus = usePrograms('infra/cli/janus.ts');
let pool: ScriptedPool | undefined;

afterEach(async () => {
  await pool?.close();
  pool = undefined;
});

const startGateway = async (...flags: string[]) => {
  const program = janus(['gateway', '--port', '0', '--redis', redis.url, ...flags]);
  const [, url] = await program.waitFor(/^ready: (http\S+)\/v1/m);
  return { program, url: url! };
};

const post = (url: string, fields: object = {}): Promise<Response> =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: PROMPT }], ...fields }),
  });

it('on SIGTERM a gateway says that it drains, refuses what is new, finishes its streams, and ends', async () => {
  pool = await startScriptedPool(redis.url, MODEL);
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  pool.play(async ({ choice }, emit) => {
    const [start, ...rest] = answer(choice, [ANSWER]);
    await emit(start!);
    await released;
    await emit(...rest);
  });
  const { program, url } = await startGateway('--drain-notice', '2', '--log-level', 'info');
  expect((await fetch(`${url}/ready`)).status).toBe(200);
  const stream = await post(url, { stream: true });
  program.kill('SIGTERM');

  await expect.poll(async () => (await fetch(`${url}/ready`)).status, { timeout: 3_000 }).toBe(503);
  expect((await readJson(await fetch(`${url}/ready`))).error.code).toBe('draining');
  const refused = await post(url);
  expect([refused.status, (await readJson(refused)).error.code]).toEqual([503, 'shutting_down']);
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  release();
  expect((await readSse(stream)).done).toBe(true);

  const { status, stderr } = await program.ended;
  expect(status).toBe(0);
  await expect(fetch(`${url}/ready`)).rejects.toThrow();
  const lines = stderr.split('\n').filter((line) => line !== '');
  const id = stream.headers.get('x-request-id');
  expect(lines.map((line) => JSON.parse(line)).find(({ requestId }) => requestId === id)).toMatchObject({
    model: MODEL,
    status: 200,
    brokenBy: null,
    completionTokens: 1,
    finishReasons: ['stop'],
  });
  expect(stderr).not.toMatch(new RegExp(`${PROMPT}|${ANSWER}`));
});

it('without a notice it closes its port at once, and logs no requests unless it is asked to', async () => {
  pool = await startScriptedPool(redis.url, MODEL);
  const { program, url } = await startGateway('--drain-notice', '0');
  expect((await post(url)).status).toBe(200);
  const startedMs = performance.now();
  program.kill('SIGTERM');
  expect(await program.ended).toMatchObject({ status: 0, stderr: '' });
  expect(performance.now() - startedMs).toBeLessThan(4_000);
});

it.each([
  ['--log-level', 'loud', /--log-level is "loud"; give one of silent, error, warn, info/],
  ['--drain-notice', '11', /--drain-notice is "11"; give a whole number from 0 to 10/],
])('%s %s is refused in one line', async (flag, value, message) => {
  const { status, stderr } = await janus(['gateway', flag, value, '--redis', redis.url]).ended;
  expect([status, stderr.trim().split('\n').length]).toEqual([1, 1]);
  expect(stderr).toMatch(message);
});
