/**
 * Compiles the AssemblyScript sources in assembly/ to build/kernels.wasm, if they or the compiler changed. It runs during
 * set-up, before anything else may be taken for granted, so it is plain JavaScript.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('.', import.meta.url));
const SOURCES = 'assembly';
const ENTRY = 'assembly/index.ts';
const OUTPUT = 'build/kernels.wasm';
/** Written after the output, so that it never vouches for an older one. */
const HASH = 'build/kernels.sha256';

const OPTIONS = [
  '-O3',
  // No kernel allocates: without a runtime there is nothing but the kernels in the module.
  ...['--runtime', 'stub', '--noAssert', '--use', 'abort='],
  ...['--enable', 'simd', '--enable', 'relaxed-simd', '--enable', 'threads'],
  ...[
    '--importMemory',
    '--noExportMemory',
    '--sharedMemory',
    '--initialMemory',
    '1',
    '--maximumMemory',
    '65536',
  ],
];

/**
 * Leaves an up-to-date module in build/.
 * @returns {Promise<string>} its path
 * @throws {Error} with the compiler's messages if a source does not compile
 */
export async function buildKernels() {
  const output = join(folder, OUTPUT);
  const hash = sourceHash();
  if (!isCurrent(output, hash)) {
    mkdirSync(join(folder, 'build'), { recursive: true });
    const module = await compile();
    writeWhole(output, module);
    writeWhole(join(folder, HASH), hash);
  }
  return output;
}

/** True where build/ has the module of these sources. Needs no compiler but its package. */
export function kernelsAreBuilt() {
  return isCurrent(join(folder, OUTPUT), sourceHash());
}

function sourceHash() {
  const compiler = createRequire(import.meta.url)('assemblyscript/package.json');
  const hash = createHash('sha256').update(`${compiler.version} ${OPTIONS.join(' ')}`);
  const files = readdirSync(join(folder, SOURCES), { recursive: true, encoding: 'utf8' });
  for (const file of files.filter((name) => name.endsWith('.ts')).sort()) {
    hash.update(`\n${file}\n`).update(readFileSync(join(folder, SOURCES, file)));
  }
  return hash.digest('hex');
}

/**
 * @param {string} output
 * @param {string} hash
 */
function isCurrent(output, hash) {
  try {
    return readFileSync(output).length > 0 && readFileSync(join(folder, HASH), 'utf8') === hash;
  } catch {
    return false;
  }
}

async function compile() {
  // Loaded only when it is needed: it takes half a second.
  const { default: asc } = await import('assemblyscript/asc');
  /** @type {Uint8Array | undefined} */
  let module;
  const { error, stderr } = await asc.main([ENTRY, '--baseDir', folder, '--outFile', OUTPUT, ...OPTIONS], {
    writeFile: (_name, contents) => {
      module = contents;
    },
  });
  if (error !== null || module === undefined) {
    throw new Error(`the WebAssembly kernels do not compile: ${error?.message ?? 'no output'}\n${stderr}`);
  }
  return module;
}

/**
 * Readers and other builds at the same time see the old file or the new one.
 * @param {string} path
 * @param {string | Uint8Array} contents
 */
function writeWhole(path, contents) {
  const temporary = `${path}.${process.pid}`;
  try {
    writeFileSync(temporary, contents);
    renameSync(temporary, path);
  } finally {
    rmSync(temporary, { force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildKernels();
