import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { probeRedis } from '../../infra/redis/probe-redis.ts';
import { chooseInstances } from '../../shared/sizing/choose-instances.ts';
import { goldenAnswer } from '../support/golden-answers.ts';
import { type Program, usePrograms } from '../support/program.ts';
import { useRedis } from '../support/redis.ts';
import { writeTinyCheckpoint } from '../support/tiny-checkpoint.ts';

const PROBE_TIMEOUT_MS = 1_000;
const QUESTION = 'Define "window".';
/** Experts per layer of the shipped model. */
const EXPERTS = 32;
const janus = usePrograms('infra/cli/janus.ts');
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'janus-e2e-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Temporary files of the program lie in `folder`, so that a test sees what it leaves behind. */
const inFolder = () => ({ TMPDIR: folder });

const urlOf = async (program: Program): Promise<string> =>
  (await program.waitFor(/ready\S* +(http\S+)\/v1/))[1]!;

const post = (url: string, fields: object): Promise<Response> =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({
      model: 'dictionary-moe',
      messages: [{ role: 'user', content: QUESTION }],
      temperature: 0,
      ...fields,
    }),
  });

async function answerOf(url: string): Promise<unknown> {
  const response = await post(url, {});
  expect(response.status).toBe(200);
  const { choices } = (await response.json()) as { choices: { message: { content: string } }[] };
  return choices[0]?.message.content;
}

describe('janus up', () => {
  it('answers, shows its pools, and ends on SIGTERM with nothing left running', async () => {
    const up = janus(['up', '--port', '0'], inFolder());
    const url = await urlOf(up);
    const [, redisUrl] = await up.waitFor(/^redis +(redis:\S+),/m);
    expect(await answerOf(url)).toBe(goldenAnswer(QUESTION));

    // ONNX Runtime computes f32, so there is an expert instance per core.
    const ids = Array.from({ length: Math.min(availableParallelism(), EXPERTS) }, (_, id) => ({ id }));
    const asJson = await janus(['status', '--json', '--redis', redisUrl!]).ended;
    expect(asJson).toMatchObject({ status: 0, stderr: '' });
    expect(JSON.parse(asJson.stdout)).toMatchObject({
      models: [
        {
          model: 'dictionary-moe',
          hosts: [{ role: 'both', experts: ids, sizing: { experts: ids.length } }],
          placement: { capacity: Math.ceil(EXPERTS / ids.length), instances: ids },
          queue: { waiting: 0, active: 0 },
        },
      ],
    });
    const asTable = await janus(['status'], { REDIS_URL: redisUrl! }).ended;
    expect(asTable.stdout).toMatch(/expert 0 +ready +\d+\.\d experts activated per layer step, at most \d+/);

    up.kill('SIGTERM');
    expect(await up.ended).toMatchObject({ status: 0, stderr: '' });
    expect(await probeRedis(redisUrl!, PROBE_TIMEOUT_MS)).toContain('ECONNREFUSED');
    await expect(fetch(url)).rejects.toThrow();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('starts as many instances as suit the cores and the kernels, and says why at the start and in the status', async () => {
    const up = janus(['up', '--port', '0', '--dtype', 'int4']);
    const [, reason] = await up.waitFor(/^host +(\d+ cores?; .*)$/m);
    await urlOf(up);
    const [, redisUrl] = await up.waitFor(/^redis +(redis:\S+),/m);
    const { stdout } = await janus(['status', '--json', '--redis', redisUrl!]).ended;
    const [{ attention, experts, sizing }] = JSON.parse(stdout).models[0].hosts;
    const chosen = chooseInstances({
      cores: availableParallelism(),
      providers: { experts: 'kernels', attention: 'kernels' },
      experts: EXPERTS,
      capacity: null,
      attentionLimit: Number.POSITIVE_INFINITY,
      asked: { attention: 'auto', experts: 'auto' },
    });
    expect([attention.length, experts.length]).toEqual([chosen.attention, chosen.experts]);
    expect(sizing).toEqual({ ...chosen, reason });
    expect((await janus(['status'], { REDIS_URL: redisUrl! }).ended).stdout).toContain(`: ${reason}\n`);
  });

  it('starts as many instances, in such a form, as its flags say', async () => {
    const sizes = ['--attention', '2', '--experts', '3', '--slots', '16', '--kv-slots', '4'];
    const up = janus(['up', '--port', '0', '--name', 'words', '--dtype', 'int8', ...sizes]);
    const url = await urlOf(up);
    const [, redisUrl] = await up.waitFor(/^redis +(redis:\S+),/m);
    expect((await post(url, { model: 'words', max_tokens: 1 })).status).toBe(200);
    const { stdout } = await janus(['status', '--json', '--redis', redisUrl!]).ended;
    const [model] = JSON.parse(stdout).models;
    expect(model).toMatchObject({ model: 'words', placement: { capacity: 16 } });
    const [{ weightForm, attention, experts, sizing }] = model.hosts;
    expect(sizing.reason).toMatch(
      /2 attention instances \(set by --attention\); 3 expert .* \(set by --experts\)$/,
    );
    expect(weightForm).toBe('int8');
    expect(attention.map(({ slots }: { slots: number }) => slots)).toEqual([4, 4]);
    expect(experts.map(({ slots }: { slots: number }) => slots)).toEqual([16, 16, 16]);
  });

  it('gives the same answer with --monolith, without an exchange', async () => {
    const up = janus(['up', '--port', '0', '--monolith']);
    expect(await answerOf(await urlOf(up))).toBe(goldenAnswer(QUESTION));
    await up.waitFor(/^pools .*no exchange$/m);
  });

  it('finishes the answer that is under way on Ctrl-C, which npm passes on a second time', async () => {
    const up = janus(['up', '--port', '0']);
    const response = await post(await urlOf(up), { stream: true });
    up.kill('SIGINT');
    await sleep(20);
    up.kill('SIGINT');
    const events = (await response.text()).split('\n\n').filter((event) => event.startsWith('data: {'));
    const text = events.map((event) => JSON.parse(event.slice(6)).choices[0].delta.content ?? '').join('');
    expect(text).toBe(goldenAnswer(QUESTION));
    expect((await up.ended).status).toBe(0);
  });

  it('ends at once on a second signal, and takes Redis along', async () => {
    const up = janus(['up', '--port', '0', '--kv-slots', '1'], inFolder());
    const url = await urlOf(up);
    // One after another, these take far longer than the pause between the signals.
    const response = await post(url, { stream: true, n: 8, ignore_eos: true, max_tokens: 450 });
    up.kill('SIGTERM');
    await sleep(1_500);
    up.kill('SIGTERM');
    expect(await up.ended).toMatchObject({ signal: 'SIGTERM', stderr: '' });
    await expect(response.text()).rejects.toThrow();
    await expect.poll(() => readdirSync(folder)).toEqual([]);
  });

  it('ends at once when it is told to while it starts', async () => {
    const up = janus(['up', '--port', '0'], inFolder());
    await up.waitFor(/^gateway/m);
    up.kill('SIGTERM');
    const { signal, stdout } = await up.ended;
    expect(signal).toBe('SIGTERM');
    expect(stdout).not.toContain('ready');
    await expect.poll(() => readdirSync(folder)).toEqual([]);
  });
});

describe('janus host and janus gateway', () => {
  const redis = useRedis();

  it('answer together as one process does, each pool in processes of its own', async () => {
    const start = (...args: string[]) => janus(args, { REDIS_URL: redis.url });
    const programs = [
      start('gateway', '--port', '0', '--drain-notice', '0'),
      start('host', '--role', 'experts', '--experts', '1'),
      start('host', '--role', 'experts', '--experts', '1'),
      start('host', '--role', 'attention', '--expert-instances', '2'),
    ];
    await programs.at(-1)!.waitFor(/^ready/m);
    expect(await answerOf(await urlOf(programs[0]!))).toBe(goldenAnswer(QUESTION));
    for (const program of programs) program.kill('SIGTERM');
    const endings = await Promise.all(programs.map((program) => program.ended));
    expect(endings.map((ending) => ending.status)).toEqual([0, 0, 0, 0]);
    const { stdout } = await start('status').ended;
    expect(stdout).toContain('No host has registered');
  });
});

describe('what a user can get wrong ends with status 1 and one clear message', () => {
  async function expectRefusal(args: readonly string[], ...messages: RegExp[]): Promise<void> {
    const { status, stderr } = await janus(args, inFolder()).ended;
    for (const message of messages) expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(status).toBe(1);
    await expect.poll(() => readdirSync(folder).filter((name) => name.startsWith('janus-redis'))).toEqual([]);
  }

  it.each([
    ['a weight form that does not exist', ['up', '--dtype', 'f64'], /--dtype is "f64".*f32, int8, int4/],
    ['a number that is none', ['up', '--experts', '2.5'], /--experts is "2\.5".*whole number/],
    ['too few replica slots', ['up', '--experts', '2', '--slots', '4'], /--slots is 4.*at least 16/],
    [
      'a model that does not exist',
      ['up', '--model', 'no-such-model'],
      /--model:.*no-such-model.*dictionary-moe/,
    ],
    ['a name that no address can hold', ['up', '--name', 'a b'], /"a b".*--name/],
    [
      'a Redis that does not answer',
      ['up', '--redis', 'redis://127.0.0.1:1'],
      /127\.0\.0\.1:1.*ECONNREFUSED/,
    ],
    ['no Redis', ['status'], /--redis redis:\/\/host:6379 or set REDIS_URL/],
    ['a host without a role', ['host', '--redis', 'redis://127.0.0.1:1'], /--role is missing/],
    ['a flag that does not exist', ['up', '--modle', 'x'], /--modle.*\n.*--model/],
  ])('%s', (_, args, message) => expectRefusal(args, message));

  it('a port that is taken', async () => {
    const holder = createServer();
    const port = await new Promise<number>((resolve) => {
      holder.listen(0, '127.0.0.1', () => resolve((holder.address() as { port: number }).port));
    });
    try {
      await expectRefusal(['up', '--port', String(port)], new RegExp(`${port}.*in use.*--port`));
    } finally {
      holder.close();
    }
  });

  it('a model folder that lacks a tensor', async () => {
    writeTinyCheckpoint(folder);
    const path = join(folder, 'config.json');
    const config = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(path, JSON.stringify({ ...config, num_hidden_layers: 3 }));
    await expectRefusal(['up', '--port', '0', '--model', folder], /no tensor model\.layers\.2\./);
  });

  it('a weight file that is cut off', async () => {
    writeTinyCheckpoint(folder);
    const path = join(folder, 'model.safetensors');
    truncateSync(path, readFileSync(path).length - 1);
    await expectRefusal(['up', '--port', '0', '--model', folder], /model\.safetensors/);
  });
});
