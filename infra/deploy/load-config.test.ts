import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { JanusError } from '../../shared/errors/janus-error.ts';
import type { DeployInput } from './config.ts';
import example from './example.ts';
import { loadDeployConfig, parseDeployConfig } from './load-config.ts';

const parse = (value: unknown) => parseDeployConfig(value, 'here');
const [model] = example.models as [DeployInput['models'][number]];
const withModel = (fields: object) => ({ ...example, models: [{ ...model, ...fields }] });
const withExperts = (fields: object) => withModel({ experts: { ...model.experts, ...fields } });

describe('a configuration', () => {
  it('is filled in, and stays the same when it is read again', () => {
    const config = parse(example);
    expect(config).toMatchObject({ user: 1_000, redis: { key: 'url' }, scaler: { actuator: 'kubernetes' } });
    expect(parse(JSON.parse(JSON.stringify(config)))).toEqual(config);
  });

  it.each([
    ['Qwen3-30B-A3B', 'qwen3-30b-a3b'],
    ['Org/Model_v1.5', 'org-model-v1-5'],
    ['a:b', 'a-b'],
    ['model.', 'model'],
  ])('names the Deployments of %s after %s', (name, resource) => {
    expect(parse(withModel({ name })).models[0]).toMatchObject({ name, resource });
  });

  it.each([
    [undefined, 'the configuration is missing'],
    [[], 'the configuration is wrong: expected object'],
    [{ ...example, namespace: undefined }, 'namespace is missing'],
    [{ ...example, namespace: 'Janus' }, 'namespace must be lower-case letters, digits and -'],
    [{ ...example, models: [] }, 'models must name a model'],
    [{ ...example, replicas: 2 }, 'the configuration holds what is not known: "replicas"'],
    [{ ...example, redis: { secret: 'redis', url: 'redis://x' } }, 'redis holds what is not known: "url"'],
    [{ ...example, user: 0 }, 'user must be a whole number from 1 to 2147483647'],
    [withModel({ folder: 'models/a' }), 'models[0].folder must be an absolute path'],
    [withModel({ folder: '/models/../etc' }), 'models[0].folder must not hold ..'],
    [withModel({ name: 'a b' }), 'models[0].name cannot be the name of a served model'],
    [withModel({ name: 'x'.repeat(41) }), 'models[0].resource must be given: "xxx'],
    [withModel({ dtype: 'int2' }), 'models[0].dtype is wrong: '],
    [withExperts({ slots: undefined }), 'models[0].experts.slots must be a whole number from 1 to 4096'],
    [withExperts({ least: 17 }), 'models[0].experts.most must not be below least, which is 17'],
    [withExperts({ least: 1.5 }), 'models[0].experts.least must be a whole number from 1 to 256'],
    [withExperts({ resources: { memory: '16GB' } }), 'models[0].experts.resources.memory must be a quantity'],
    [withExperts({ nodeSelector: { 'a/b/c': 'd' } }), 'models[0].experts.nodeSelector'],
    [{ ...example, models: [model, model] }, 'models[1].name is "qwen3-30b-a3b" as that of another one'],
    [
      {
        ...example,
        models: [
          { ...model, name: 'a/b' },
          { ...model, name: 'a.b' },
        ],
      },
      'models[1].resource is "a-b" as that of another one',
    ],
    [{ ...example, gateway: { replicas: 2 } }, 'gateway.filesClaim must be given for 2 replicas'],
    [
      { ...example, gateway: { corsOrigins: ['https://a/'] } },
      'gateway.corsOrigins[0] must be an origin, for example',
    ],
  ])('that is wrong is refused with the name of the field (%#)', (value, message) => {
    expect(() => parse(value)).toThrow(JanusError);
    expect(() => parse(value)).toThrow(`here: ${message}`);
  });
});

describe('a file', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'janus-deploy-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };

  it('is JSON or TypeScript', async () => {
    const expected = parse(example);
    const json = JSON.stringify(example);
    expect(await loadDeployConfig(file('a.json', json))).toEqual(expected);
    const typed = `const config: { namespace: string } = ${json};\nexport default config;\n`;
    expect(await loadDeployConfig(file('a.ts', typed))).toEqual(expected);
  });

  it.each([
    ['b.json', '{', /b\.json cannot be read as JSON or as a TypeScript module: /],
    ['b.ts', 'export default {', /b\.ts cannot be read as JSON or as a TypeScript module: /],
    ['c.ts', 'export const config = {};', /c\.ts: the configuration is missing/],
  ])('that is none is refused with its name: %s', async (name, text, message) => {
    await expect(loadDeployConfig(file(name, text))).rejects.toThrow(message);
  });

  it('that is not there is named, and so is what to do where none is', async () => {
    await expect(loadDeployConfig(join(folder, 'none.json'))).rejects.toThrow(/none\.json cannot be read/);
    await expect(loadDeployConfig(undefined)).rejects.toThrow(/^No janus\.deploy\.ts or .*--config/);
  });
});
