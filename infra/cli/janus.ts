import { Command } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import { runMain } from './run-main.ts';

/** In the order of the help. What a command needs is loaded with it: `janus keys` need not wait for ONNX Runtime. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  up: async () => (await import('./commands/up.ts')).upCommand(),
  host: async () => (await import('./commands/host.ts')).hostCommand(),
  gateway: async () => (await import('./commands/gateway.ts')).gatewayCommand(),
  batch: async () => (await import('./commands/batch.ts')).batchCommand(),
  keys: async () => (await import('./commands/keys.ts')).keysCommand(),
  status: async () => (await import('./commands/status.ts')).statusCommand(),
  placement: async () => (await import('./commands/placement.ts')).placementCommand(),
  profile: async () => (await import('./commands/profile.ts')).profileCommand(),
  scaler: async () => (await import('./commands/scaler.ts')).scalerCommand(),
  deploy: async () => (await import('./commands/deploy.ts')).deployCommand(),
  actuate: async () => (await import('./commands/actuate.ts')).actuateCommand(),
  supervise: async () => (await import('./commands/supervise.ts')).superviseCommand(),
  pack: async () => (await import('./commands/pack.ts')).packCommand(),
};

async function main(): Promise<void> {
  const program = new Command('janus')
    .description(packageJson.description)
    .version(packageJson.version)
    .showHelpAfterError('(add --help to see what there is)');
  const [, , named = ''] = process.argv;
  // Whatever else was typed is answered with all that there is.
  const loads = Object.hasOwn(COMMANDS, named) ? [COMMANDS[named]!] : Object.values(COMMANDS);
  for (const load of loads) program.addCommand((await load()).copyInheritedSettings(program));
  await program.parseAsync();
}

await runMain('janus', main);
