import { Command, Option } from 'commander';
import { fetchResults } from '../batch/fetch-results.ts';
import { firstUrl } from '../batch/first-url.ts';
import { createGatewayClient, type GatewayClient } from '../batch/gateway-client.ts';
import { checkCompleted, formatEnding, watchBatch } from '../batch/watch-batch.ts';
import { notEmpty } from '../options/values.ts';

const DEFAULT_URL = 'http://127.0.0.1:8000';

interface ClientFlags {
  readonly url: string;
  readonly apiKey?: string;
}

interface SubmitFlags extends ClientFlags {
  readonly endpoint?: string;
}

interface FetchFlags extends ClientFlags {
  readonly out?: string;
}

const clientOf = ({ url, apiKey }: ClientFlags): GatewayClient => createGatewayClient({ url, apiKey });

const addClientOptions = (command: Command): Command =>
  command
    .addOption(
      new Option('--url <url>', 'gateway, with or without /v1')
        .env('JANUS_URL')
        .argParser(notEmpty('--url', DEFAULT_URL))
        .default(DEFAULT_URL),
    )
    .addOption(new Option('--api-key <key>', 'key that the gateway asks for').env('JANUS_API_KEY'));

export function batchCommand(): Command {
  const submitCommand = new Command('submit')
    .description(
      'Upload a file with one request per line, as OpenAI has them, and start a batch; prints its id',
    )
    .argument('<file>', 'JSON Lines with custom_id, method, url and body')
    .option(
      '--endpoint <path>',
      'address of all requests (default: the url of the first line)',
      notEmpty('--endpoint', '/v1/chat/completions'),
    )
    .action(submit);
  const watchCommand = new Command('watch')
    .description('Show how far a batch is until it ends; status 1 where it does not complete')
    .argument('<id>')
    .action(watch);
  const cancelCommand = new Command('cancel')
    .description('End a batch; what was answered stays')
    .argument('<id>')
    .action(cancel);
  const fetchCommand = new Command('fetch')
    .description('Write the answers of a batch that has ended to a file, and what failed to another')
    .argument('<id>')
    .option('--out <file>', 'file to write (default: <id>.jsonl)', notEmpty('--out', 'answers.jsonl'))
    .action(fetchAnswers);

  const command = new Command('batch').description('Batches of requests that nobody waits for');
  for (const part of [submitCommand, watchCommand, cancelCommand, fetchCommand]) {
    command.addCommand(addClientOptions(part));
  }
  return command;
}

async function submit(file: string, flags: SubmitFlags): Promise<void> {
  const client = clientOf(flags);
  const endpoint = flags.endpoint ?? (await firstUrl(file));
  const batch = await client.create(await client.upload(file), endpoint);
  console.log(batch.id);
}

async function watch(id: string, flags: ClientFlags): Promise<void> {
  const batch = await watchBatch(clientOf(flags), id, process.stderr);
  checkCompleted(batch);
  console.log(formatEnding(batch));
}

async function cancel(id: string, flags: ClientFlags): Promise<void> {
  const { status } = await clientOf(flags).cancel(id);
  console.log(`${id} is ${status}`);
}

async function fetchAnswers(id: string, flags: FetchFlags): Promise<void> {
  const client = clientOf(flags);
  const written = await fetchResults(client, await client.find(id), flags.out ?? `${id}.jsonl`);
  for (const path of written) console.log(`wrote ${path}`);
}
