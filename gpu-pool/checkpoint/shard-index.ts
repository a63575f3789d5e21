import { z } from 'zod';
import { JanusError } from '../../shared/errors/janus-error.ts';
import { parseFields } from '../../shared/model/fields.ts';

/** Every shard keeps a file descriptor open. DeepSeek-V3 has 163 shards. */
const MAX_SHARDS = 500;

const shardName = z.string({ error: 'must be the name of a shard' });
const schema = z.object(
  { weight_map: z.record(z.string(), shardName, { error: 'must map tensors to shards' }) },
  { error: 'must be a JSON object' },
);

/**
 * Reads `model.safetensors.index.json`.
 *
 * @param path name of the index in errors
 * @returns name of the shard, a file in the same folder, by the name of the tensor
 * @throws JanusError that names the index and the tensor if a shard's name would lead out of the folder
 */
export function parseShardIndex(index: unknown, path: string): Map<string, string> {
  const map = new Map(Object.entries(parseFields(schema, index, path).weight_map));
  for (const [tensor, shard] of map) {
    if (!/^[^/\\]+\.safetensors$/.test(shard)) {
      throw new JanusError(
        `${path}: weight_map must name a .safetensors file of the same folder for ${tensor}, not "${shard}"`,
      );
    }
  }
  const shards = new Set(map.values()).size;
  if (shards > MAX_SHARDS) {
    throw new JanusError(`${path}: weight_map names ${shards} shards, and at most ${MAX_SHARDS} are opened`);
  }
  return map;
}
