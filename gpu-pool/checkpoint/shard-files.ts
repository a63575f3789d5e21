import fs from 'node:fs';
import { join } from 'node:path';
import { JanusError } from '../../shared/errors/janus-error.ts';
import { readJsonFile } from './json-file.ts';
import { Shard } from './shard.ts';
import { parseShardIndex } from './shard-index.ts';

const SINGLE_FILE = 'model.safetensors';
const INDEX_FILE = 'model.safetensors.index.json';

interface ShardFiles {
  readonly shards: readonly Shard[];
  readonly shardOfTensor: ReadonlyMap<string, Shard>;
}

/**
 * Opens the weight files of a model folder. As with Hugging Face, `model.safetensors` takes precedence over an index.
 *
 * @throws JanusError that names the file, and the tensor where there is one, if the checkpoint is not whole; no file
 * stays open then
 */
export function openShards(folder: string): ShardFiles {
  const singlePath = join(folder, SINGLE_FILE);
  if (fs.existsSync(singlePath)) {
    const shard = Shard.open(singlePath);
    const shardOfTensor = new Map(shard.tensors.keys().map((name) => [name, shard]));
    return { shards: [shard], shardOfTensor };
  }
  const indexPath = join(folder, INDEX_FILE);
  if (!fs.existsSync(indexPath)) {
    throw new JanusError(
      `${folder} holds no weights: put ${SINGLE_FILE}, or shards and ${INDEX_FILE}, there`,
    );
  }
  const fileOfTensor = parseShardIndex(readJsonFile(indexPath), indexPath);
  const shards = new Map<string, Shard>();
  try {
    for (const file of new Set(fileOfTensor.values())) shards.set(file, Shard.open(join(folder, file)));
    return { shards: [...shards.values()], shardOfTensor: locateTensors(fileOfTensor, shards, indexPath) };
  } catch (error) {
    for (const shard of shards.values()) shard.close();
    throw error;
  }
}

function locateTensors(
  fileOfTensor: ReadonlyMap<string, string>,
  shards: ReadonlyMap<string, Shard>,
  indexPath: string,
): Map<string, Shard> {
  const shardOfTensor = new Map<string, Shard>();
  for (const [name, file] of fileOfTensor) {
    const shard = shards.get(file)!;
    if (!shard.tensors.has(name)) {
      throw new JanusError(
        `${shard.path} has no tensor ${name}, though ${indexPath} says so: download both again`,
      );
    }
    shardOfTensor.set(name, shard);
  }
  return shardOfTensor;
}
