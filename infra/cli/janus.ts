import { Command } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import { gatewayCommand } from './commands/gateway.ts';
import { hostCommand } from './commands/host.ts';
import { packCommand } from './commands/pack.ts';
import { placementCommand } from './commands/placement.ts';
import { statusCommand } from './commands/status.ts';
import { upCommand } from './commands/up.ts';
import { runMain } from './run-main.ts';

const program = new Command('janus')
  .description(packageJson.description)
  .version(packageJson.version)
  .showHelpAfterError('(add --help to see what there is)');
const commands = [
  upCommand(),
  hostCommand(),
  gatewayCommand(),
  statusCommand(),
  placementCommand(),
  packCommand(),
];
for (const command of commands) {
  program.addCommand(command.copyInheritedSettings(program));
}

await runMain('janus', () => program.parseAsync());
