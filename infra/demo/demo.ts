import { styleText } from 'node:util';
import { Command } from 'commander';
import { DEFAULT_EXCHANGE } from '../../gpu-pool/exchange/exchange-options.ts';
import { DEFAULT_LIMITS } from '../../gpu-pool/host/host-options.ts';
import { counted } from '../../shared/text/counted.ts';
import { curlLine } from '../cli/options/address-options.ts';
import { DEFAULT_MODEL, resolveModel } from '../cli/options/model-option.ts';
import { runMain } from '../cli/run-main.ts';
import { runUntilStopped } from '../cli/until-stopped.ts';
import { type RunningSystem, startEverything } from '../cli/up.ts';
import { type Answer, ask } from './ask.ts';
import { formatAnswers, formatExchange, formatExperts } from './report.ts';

/** Words that the shipped model knows by heart, so that its answers can be checked in a dictionary. */
const QUESTIONS = ['What does "biology" mean?', 'Define "tournament".', 'Define "fifty".'];
const MS_PER_S = 1_000;
const INDENT = '  ';

const say = (...lines: string[]): void => console.log(lines.join('\n'));
/** On a terminal only. */
const bold = (text: string): string => styleText('bold', text);

async function start(): Promise<RunningSystem> {
  const { folder, name, config } = resolveModel(DEFAULT_MODEL);
  const startedAtMs = performance.now();
  const system = await startEverything(
    {
      model: { folder, name, weightForm: 'f32' },
      attentionInstances: 'auto',
      expertInstances: 'auto',
      capacity: null,
      monolith: false,
      scheduler: 'aebs',
      gate: 'attention',
      exchange: DEFAULT_EXCHANGE,
      kernels: 'auto',
      limits: DEFAULT_LIMITS,
      host: '127.0.0.1',
      port: 0,
    },
    () => {},
  );
  const seconds = ((performance.now() - startedAtMs) / MS_PER_S).toFixed(1);
  const { attention, experts } = system.host.record();
  say(
    `${name} (${config.layers} layers, ${config.experts} experts, ${config.expertsPerToken} per token) is served by ` +
      `${counted(attention.length, 'attention instance')} and ${counted(experts.length, 'expert instance')}.`,
    `Ready at ${system.url} after ${seconds} s.`,
  );
  return system;
}

/** Asks all questions, one after another, and shows the answers while they are written. */
async function askAll(url: string): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const question of QUESTIONS) {
    process.stdout.write(`\n${bold(question)}\n${INDENT}`);
    const show = (text: string) => process.stdout.write(text.replaceAll('\n', `\n${INDENT}`));
    answers.push(await ask(url, DEFAULT_MODEL, question, show));
    say('');
  }
  return answers;
}

async function demonstrate({ url, host }: RunningSystem): Promise<void> {
  const answers = await askAll(url);
  const links = host.attention!.instances.flatMap((instance) => instance.statistics.links);
  const tables = [formatAnswers(answers), formatExperts(host.record().experts), formatExchange(links)];
  for (const [head, ...rows] of tables) say('', bold(head!), ...rows);
}

async function serve(): Promise<RunningSystem> {
  const system = await start();
  await demonstrate(system);
  say('', `Still serving; Ctrl-C ends it. Ask: ${curlLine(system.url, DEFAULT_MODEL, 'Define "harbor".')}`);
  return system;
}

async function main(): Promise<void> {
  const command = new Command('demo')
    .description('Start Redis, both pools and the HTTP API on this machine, and ask three questions')
    .option('--serve', 'stay up after the answers')
    .parse();
  if (command.opts<{ serve?: true }>().serve) return runUntilStopped(serve, say);
  const system = await start();
  try {
    await demonstrate(system);
  } finally {
    await system.close();
  }
}

await runMain('demo', main);
