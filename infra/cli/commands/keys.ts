import { Command, Option } from 'commander';
import { KEY_CACHE_MS } from '../../../functions/gateway/access/access.ts';
import { createKey, listKeys, revokeKey } from '../../../functions/gateway/access/key-store.ts';
import { isKeyId, parseKey, secureBytes } from '../../../functions/gateway/access/key-text.ts';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { formatKeys, withoutDigest } from '../keys/format-keys.ts';
import { type RedisFlags, redisOption } from '../options/redis-option.ts';
import { wholeNumber } from '../options/values.ts';
import { withRedis } from '../with-redis.ts';

/** Printable, so that a list of keys is a table. */
const KEY_NAME = /^[^\p{C}\p{Z}](?:[^\p{C}]{0,62}[^\p{C}\p{Z}])?$/u;
const MOST_MODELS = 64;
const MOST_REQUESTS = 1_000_000;
const MOST_TOKENS = 999_999_999;
const MS_PER_S = 1_000;

interface KeysFlags extends RedisFlags {
  readonly json?: true;
}

interface CreateFlags extends KeysFlags {
  readonly name: string;
  readonly model?: readonly string[];
  readonly requestsPerMinute?: number;
  readonly tokensPerMinute?: number;
  readonly goesFirst?: true;
  readonly admin?: true;
}

export function keysCommand(): Command {
  return new Command('keys')
    .description('API keys: without any, gateways serve this machine only')
    .addCommand(addCreateOptions(new Command('create')).action(create))
    .addCommand(
      new Command('list')
        .description('List all keys, without their secrets')
        .option('--json', 'one JSON array on stdout')
        .addOption(redisOption())
        .action(list),
    )
    .addCommand(
      new Command('revoke')
        .description('End a key for good')
        .argument('<id>', 'what `janus keys list` shows, or the whole key')
        .addOption(redisOption())
        .action(revoke),
    );
}

function addCreateOptions(command: Command): Command {
  return command
    .description('Create a key and show it, once')
    .requiredOption('--name <name>', 'what to call it', keyName)
    .option('--model <name>', 'model that it may use; may be repeated (default: all)', addModel)
    .option(
      '--requests-per-minute <n>',
      'limit (default: none)',
      wholeNumber('--requests-per-minute', 1, MOST_REQUESTS),
    )
    .option(
      '--tokens-per-minute <n>',
      'limit of tokens of prompts and answers together (default: none)',
      wholeNumber('--tokens-per-minute', 1, MOST_TOKENS),
    )
    .option('--goes-first', 'its requests may ask to go before those of other keys')
    .addOption(
      new Option('--admin', 'opens /metrics and /admin instead of /v1').conflicts([
        'model',
        'requestsPerMinute',
        'tokensPerMinute',
        'goesFirst',
      ]),
    )
    .option('--json', 'one JSON object on stdout')
    .addOption(redisOption());
}

async function create(flags: CreateFlags): Promise<void> {
  await withRedis(flags, async (redis) => {
    const { key, text } = await createKey(
      redis,
      {
        name: flags.name,
        class: flags.admin ? 'admin' : 'api',
        models: flags.model ?? null,
        requestsPerMinute: flags.requestsPerMinute ?? null,
        tokensPerMinute: flags.tokensPerMinute ?? null,
        ...(flags.goesFirst && { goesFirst: true }),
      },
      { nowMs: Date.now(), randomBytes: secureBytes },
    );
    if (flags.json) return console.log(JSON.stringify({ ...withoutDigest(key), key: text }));
    console.log(`${text}\n\nThis is shown once: only a hash of it is kept. Its id is ${key.id}.`);
  });
}

async function list(flags: KeysFlags): Promise<void> {
  await withRedis(flags, async (redis) => {
    const keys = (await listKeys(redis)).map(withoutDigest);
    console.log(flags.json ? JSON.stringify(keys) : formatKeys(keys));
  });
}

/** @throws JanusError when there is no such key; what was given is not repeated unless it is an id */
async function revoke(given: string, flags: RedisFlags): Promise<void> {
  const id = parseKey(given)?.id ?? given;
  if (!isKeyId(id)) {
    throw new JanusError('That is not the id of an API key: give what `janus keys list` shows, or the key.');
  }
  await withRedis(flags, async (redis) => {
    const outcome = await revokeKey(redis, id, Date.now());
    if (outcome === 'unknown') {
      throw new JanusError(`There is no API key ${id}: \`janus keys list\` shows all that there are.`);
    }
    console.log(
      outcome === 'already'
        ? `${id} was revoked before`
        : `${id} is revoked: no gateway takes it any more after ${KEY_CACHE_MS / MS_PER_S} s`,
    );
  });
}

/** @throws JanusError when the name is empty, too long, or not printable */
function keyName(text: string): string {
  if (KEY_NAME.test(text)) return text;
  throw new JanusError('--name must have 1 to 64 printable characters, and no space at its ends.');
}

/** @throws JanusError when the name is empty, or there are too many */
function addModel(text: string, before: readonly string[] = []): readonly string[] {
  if (text.trim() === '')
    throw new JanusError('--model is empty; give the name under which a model is served.');
  if (before.length === MOST_MODELS) {
    throw new JanusError(
      `--model is given more than ${MOST_MODELS} times; leave it out to allow all models.`,
    );
  }
  return [...before, text];
}
