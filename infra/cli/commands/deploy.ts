import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { loadDeployConfig } from '../../deploy/load-config.ts';
import { manifests } from '../../deploy/manifests.ts';
import { toYaml } from '../../deploy/to-yaml.ts';
import { notEmpty, oneOf } from '../options/values.ts';

const TARGETS = ['kubernetes'] as const;
const FILE_NAME = 'janus.yaml';

interface DeployFlags {
  readonly target?: (typeof TARGETS)[number];
  readonly dryRun?: true;
  readonly config?: string;
  readonly out?: string;
}

export function deployCommand(): Command {
  return new Command('deploy')
    .description('Write what runs in a cluster, made from one configuration')
    .addOption(
      new Option('--target <name>', `where to: ${TARGETS.join(', ')}`).argParser(oneOf('--target', TARGETS)),
    )
    .option('--dry-run', 'writes the manifests and changes nothing; nothing else is offered')
    .option(
      '--config <file>',
      'TypeScript or JSON (default: janus.deploy.ts or janus.deploy.json)',
      notEmpty('--config', 'janus.deploy.ts'),
    )
    .option('--out <folder>', `writes ${FILE_NAME} into it instead of to stdout`, notEmpty('--out', 'deploy'))
    .action(deploy);
}

async function deploy({ target, dryRun, config, out }: DeployFlags): Promise<void> {
  if (target === undefined) throw new JanusError(`--target is missing; give one of ${TARGETS.join(', ')}.`);
  if (dryRun === undefined) {
    throw new JanusError(
      '--dry-run is missing: Janus writes the manifests, and you apply them: `janus deploy … --dry-run | kubectl apply -f -`.',
    );
  }
  const text = toYaml(manifests(await loadDeployConfig(config)));
  if (out === undefined) {
    process.stdout.write(text);
    return;
  }
  await mkdir(out, { recursive: true });
  await writeFile(join(out, FILE_NAME), text);
  console.log(`written: ${join(out, FILE_NAME)}`);
}
