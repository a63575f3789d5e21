import { createReadStream } from 'node:fs';
import { access, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join as joinPath } from 'node:path';
import { Readable } from 'node:stream';
import type { FileStore, PartLength } from './file-store.ts';
import { safeName } from './safe-name.ts';

/** What is written still. */
const UNFINISHED = '.new';
const PART = '.part';

const isAbsence = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';

/** Makes a new name in a folder survive a loss of power. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Writes under a temporary name and renames: a file is there whole or not at all. */
async function writeWhole(folder: string, id: string, content: AsyncIterable<Uint8Array>): Promise<number> {
  const temporary = joinPath(folder, `${id}-${crypto.randomUUID()}${UNFINISHED}`);
  try {
    const handle = await open(temporary, 'wx', 0o600);
    let size: number;
    try {
      await handle.writeFile(content);
      await handle.sync();
      size = (await handle.stat()).size;
    } finally {
      await handle.close();
    }
    await rename(temporary, joinPath(folder, id));
    await syncFolder(folder);
    return size;
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** The bytes of a file's first `bytes`. @throws when there are fewer */
async function* beginning(path: string, bytes: number): AsyncGenerator<Uint8Array, void, undefined> {
  let read = 0;
  for await (const chunk of createReadStream(path, { end: bytes - 1 })) {
    read += (chunk as Uint8Array).length;
    yield chunk as Uint8Array;
  }
  if (read < bytes) throw new Error(`${path} holds ${read} bytes instead of ${bytes}`);
}

const namesIn = (folder: string): Promise<string[]> =>
  readdir(folder).catch((error: unknown) => {
    if (isAbsence(error)) return [];
    throw error;
  });

/** Drops what processes that were killed left behind and nobody has written to since `beforeMs`, a Unix time in milliseconds. */
export async function removeLeftovers(folder: string, beforeMs: number): Promise<void> {
  for (const name of await namesIn(folder)) {
    if (!name.endsWith(UNFINISHED) && !name.endsWith(PART)) continue;
    const path = joinPath(folder, name);
    const state = await stat(path).catch(() => undefined);
    if (state !== undefined && state.mtimeMs < beforeMs) await rm(path, { force: true });
  }
}

/** A store in a folder, which is made when something is first stored. */
export function createDiskStore(folder: string): FileStore {
  const pathOf = (id: string): string => joinPath(folder, safeName(id));
  const partPath = (series: string, part: string): string =>
    joinPath(folder, `${safeName(series)}.${safeName(part)}${PART}`);
  const makeFolder = () => mkdir(folder, { recursive: true, mode: 0o700 });

  async function* partsInOrder(series: string, parts: readonly PartLength[]) {
    for (const { part, bytes } of parts) {
      // A range of nothing cannot be asked for.
      if (bytes > 0) yield* beginning(partPath(series, part), bytes);
    }
  }

  return {
    async write(id, content) {
      safeName(id);
      await makeFolder();
      return writeWhole(folder, id, content);
    },
    async read(id) {
      try {
        const handle = await open(pathOf(id), 'r');
        return Readable.toWeb(handle.createReadStream()) as ReadableStream<Uint8Array>;
      } catch (error) {
        if (isAbsence(error)) return undefined;
        throw error;
      }
    },
    exists: async (id) =>
      access(pathOf(id)).then(
        () => true,
        () => false,
      ),
    remove: async (id) => rm(pathOf(id), { force: true }),
    async openPart(series, part) {
      await makeFolder();
      const handle = await open(partPath(series, part), 'wx', 0o600);
      await syncFolder(folder);
      return {
        async append(bytes) {
          await handle.appendFile(bytes);
          await handle.datasync();
        },
        close: () => handle.close(),
      };
    },
    async join(id, series, parts) {
      safeName(id);
      return writeWhole(folder, id, partsInOrder(series, parts));
    },
    async removeParts(series) {
      const prefix = `${safeName(series)}.`;
      const parts = (await namesIn(folder)).filter((name) => name.startsWith(prefix) && name.endsWith(PART));
      await Promise.all(parts.map((name) => rm(joinPath(folder, name), { force: true })));
    },
  };
}
