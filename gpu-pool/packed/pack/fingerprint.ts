import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { basename, join } from 'node:path';
import type { StoredTensor } from '../../../shared/model/safetensors.ts';
import type { Shard } from '../../checkpoint/shard.ts';
import { openShards } from '../../checkpoint/shard-files.ts';
import { copiedFiles } from './copied-files.ts';

/** Bytes of each tensor, from its middle, that go into the fingerprint. */
const SAMPLE_BYTES = 256;

/**
 * Tells one checkpoint from another without reading all of it: SHA-256 over the files that a packed model copies, the name
 * and the tensors' names, formats, shapes and ranges of every shard, and a sample of every tensor. Training changes all
 * samples; a change by hand of a few weights can be missed.
 *
 * @returns hexadecimal digits
 * @throws JanusError that names the file if the checkpoint is not whole
 */
export function fingerprint(folder: string): string {
  const hash = createHash('sha256');
  const add = (heading: string, content: Uint8Array): void => {
    // Lengths keep the end of one content apart from the beginning of the next.
    hash.update(JSON.stringify([heading, content.length])).update(content);
  };
  for (const file of copiedFiles(folder)) add(file, fs.readFileSync(join(folder, file)));
  const { shards } = openShards(folder);
  try {
    for (const shard of shards.toSorted((a, b) => (a.path < b.path ? -1 : 1))) {
      for (const [name, tensor] of shard.tensors) {
        const { dtype, shape, begin, end } = tensor;
        const heading = JSON.stringify([basename(shard.path), name, dtype, shape, begin, end]);
        add(heading, sampleOf(shard, tensor));
      }
    }
  } finally {
    for (const shard of shards) shard.close();
  }
  return hash.digest('hex');
}

function sampleOf(shard: Shard, { begin, end }: StoredTensor): Uint8Array {
  const sample = new Uint8Array(Math.min(SAMPLE_BYTES, end - begin));
  shard.readInto(sample, begin + Math.floor((end - begin - sample.length) / 2));
  return sample;
}
