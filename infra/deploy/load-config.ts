import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { JanusError } from '../../shared/errors/janus-error.ts';
import { type DeployConfig, deploySchema } from './config.ts';

/** Looked for in the present folder where no file is named. */
const DEFAULT_FILES = ['janus.deploy.ts', 'janus.deploy.json'];
const MODULES = ['.ts', '.mts', '.js', '.mjs'];

/**
 * Reads what is to run in a cluster.
 *
 * @param file JSON, or a module whose default export it is
 * @throws JanusError naming the file and the field that is wrong
 */
export async function loadDeployConfig(file: string | undefined): Promise<DeployConfig> {
  const found = file ?? DEFAULT_FILES.find((name) => existsSync(name));
  if (found === undefined) {
    throw new JanusError(
      `No ${DEFAULT_FILES.join(' or ')} is here: name one with --config; infra/deploy/example.ts shows what to write.`,
    );
  }
  return parseDeployConfig(await read(found), found);
}

/**
 * @param source as errors name it
 * @throws JanusError naming the field that is wrong
 */
export function parseDeployConfig(value: unknown, source: string): DeployConfig {
  const result = deploySchema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const { path, message } = issue!;
  throw new JanusError(`${source}: ${fieldName(path)} ${wording(message)}.`);
}

async function read(file: string): Promise<unknown> {
  try {
    if (!MODULES.includes(extname(file))) return JSON.parse(await readFile(file, 'utf8'));
    const { default: exported } = (await import(pathToFileURL(resolve(file)).href)) as { default?: unknown };
    return exported;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new JanusError(`${file} cannot be read as JSON or as a TypeScript module: ${reason}`, {
      cause: error,
    });
  }
}

/** A field's address: `models[0].experts.slots`. */
const fieldName = (path: readonly PropertyKey[]): string =>
  path.reduce<string>((name, part) => {
    if (typeof part === 'number') return `${name}[${part}]`;
    return name === '' ? String(part) : `${name}.${String(part)}`;
  }, '') || 'the configuration';

const wording = (message: string): string =>
  message
    .replace(/^Invalid input: expected .*, received undefined$/, 'is missing')
    .replace(/^Invalid input: /, 'is wrong: ')
    .replace(/^Unrecognized keys?: /, 'holds what is not known: ')
    .replace(/^(Too|Invalid) /, (start) => `is wrong: ${start.toLowerCase()}`);
