import { homedir } from 'node:os';
import { join } from 'node:path';
import { Option } from 'commander';
import { notEmpty } from './values.ts';

export interface FilesFlags {
  readonly filesDir?: string;
}

/** Where a gateway keeps files. @param byDefault what its help says of that */
export const filesOption = (byDefault: string): Option =>
  new Option(
    '--files-dir <folder>',
    `folder of uploaded files and of batches' results; gateways that share a Redis must share it (default: ${byDefault})`,
  ).argParser(notEmpty('--files-dir', '/var/lib/janus/files'));

/** Where files are kept for as long as somebody's Redis knows of them: among the data of the user. */
export function defaultFilesFolder(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const data = environment.XDG_DATA_HOME || join(homedir(), '.local', 'share');
  return join(data, 'janus', 'files');
}
