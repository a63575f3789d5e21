import { z } from 'zod';
import { JanusError } from '../../shared/errors/janus-error.ts';
import { parseFields } from '../../shared/model/fields.ts';
import { BLOCK_SIZES, PACKED_DTYPES, type PackSettings } from './packed-formats.ts';
import type { GroupPlan } from './plan.ts';

export const MANIFEST_FILE = 'manifest.json';
export const PACKED_FORMAT = 'janus-packed';
/** Raised whenever files of the old version would be read wrongly. */
export const PACKED_VERSION = 3;

export interface PackedGroup extends GroupPlan {
  /** CRC-32 of the group's bytes. */
  readonly checksum: number;
}

/** Content of a packed model's `manifest.json`, which is written last. */
export interface PackedManifest extends PackSettings {
  readonly format: typeof PACKED_FORMAT;
  readonly version: typeof PACKED_VERSION;
  /** Fingerprint of the checkpoint that was packed, in hexadecimal digits. */
  readonly source: string;
  /** Layout of quantised blocks. */
  readonly layout: 'tile8';
  /** Bytes of each file. */
  readonly files: Readonly<Record<string, number>>;
  readonly groups: readonly PackedGroup[];
}

const heading = z.object({ format: z.string(), version: z.int() });

const bytes = z.int({ error: 'must be a number of bytes' }).nonnegative();
const partFormat = z.union([
  z.object({ form: z.enum(['f32', 'f16', 'bf16']) }),
  z.object({
    form: z.literal('blocks'),
    bits: z.union([z.literal(4), z.literal(8)]),
    blockSize: z.literal(BLOCK_SIZES),
    zeroPoints: z.boolean(),
    perRow: z.boolean().optional(),
  }),
]);
const part = z.object({
  name: z.string(),
  shape: z.array(z.int().positive()).min(1),
  format: partFormat,
  offset: bytes,
  bytes,
});
const schema = z.object({
  format: z.literal(PACKED_FORMAT),
  version: z.literal(PACKED_VERSION),
  source: z.string({ error: 'must be the fingerprint of the checkpoint' }),
  dtype: z.enum(PACKED_DTYPES),
  blockSize: z.literal(BLOCK_SIZES).nullable(),
  uniform: z.boolean(),
  layout: z.literal('tile8'),
  files: z.record(z.string().regex(/^[a-z0-9-]+\.bin$/, { error: 'must be the name of a .bin file' }), bytes),
  groups: z.array(
    z.object({
      name: z.string(),
      file: z.string(),
      offset: bytes,
      bytes,
      checksum: z.int().nonnegative(),
      parts: z.array(part),
    }),
  ),
});

/** True where the content of a `manifest.json` is that of a packed model, of this version or another. */
export function isManifest(json: unknown): boolean {
  const { success, data } = heading.safeParse(json);
  return success && data.format === PACKED_FORMAT;
}

/**
 * @param json content of `manifest.json`
 * @param path name of the file in errors
 * @throws JanusError that names the file and the field if the version is another or a field is wrong
 */
export function parseManifest(json: unknown, path: string): PackedManifest {
  const { format, version } = parseFields(heading, json, path);
  if (format === PACKED_FORMAT && version !== PACKED_VERSION) {
    throw new JanusError(
      `${path}: the model was packed in version ${version} of the format, and this Janus reads version ` +
        `${PACKED_VERSION}; pack it again`,
    );
  }
  return parseFields(schema, json, path);
}

/** The manifest as JSON, one group to a line, so that people can read and compare it. */
export function formatManifest({ groups, ...head }: PackedManifest): string {
  const lines = groups.map((group) => `    ${JSON.stringify(group)}`);
  const start = JSON.stringify(head, null, 2).replace(/\n}$/, '');
  return `${start},\n  "groups": [\n${lines.join(',\n')}\n  ]\n}\n`;
}
