import { spawn } from 'node:child_process';
import { SetupError } from './report.mjs';

const OUTPUT_LIMIT_CHARACTERS = 64 * 1024;
const HEAD_LINES = 12;
const TAIL_LINES = 12;

/**
 * Runs a command to its end and keeps some of what it prints, to be shown only if it fails. A signal to set-up
 * ends the command first, so that the caller's `finally` blocks run.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd: string, env: NodeJS.ProcessEnv, timeoutMs: number }} options
 * @returns {Promise<{ ok: boolean, output: string }>} `output` is the first and the last lines of stdout and stderr
 * @throws {SetupError} when set-up is told to stop
 */
export function runCommand(command, args, { cwd, env, timeoutMs }) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs });
    let printed = '';
    /** @type {NodeJS.Signals | undefined} */
    let interruptedBy;
    /** @param {Buffer} chunk */
    const keep = (chunk) => {
      printed = (printed + chunk.toString('utf8')).slice(-OUTPUT_LIMIT_CHARACTERS);
    };
    /** @param {NodeJS.Signals} signal */
    const interrupt = (signal) => {
      interruptedBy = signal;
      child.kill(signal);
    };
    const settle = () => {
      process.off('SIGINT', interrupt);
      process.off('SIGTERM', interrupt);
    };
    process.on('SIGINT', interrupt);
    process.on('SIGTERM', interrupt);
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', (error) => {
      settle();
      resolve({ ok: false, output: `${command}: ${error.message}` });
    });
    child.on('close', (status, signal) => {
      settle();
      if (interruptedBy !== undefined) reject(new SetupError(`stopped by ${interruptedBy}.`));
      else if (signal !== null) resolve({ ok: false, output: `${excerpt(printed)}\n(ended by ${signal})` });
      else resolve({ ok: status === 0, output: excerpt(printed) });
    });
  });
}

/**
 * Some programs give the reason first and then explain themselves at length, others end with it.
 *
 * @param {string} output
 */
function excerpt(output) {
  const lines = output.trim().split('\n');
  if (lines.length <= HEAD_LINES + TAIL_LINES) return lines.join('\n');
  return [...lines.slice(0, HEAD_LINES), '…', ...lines.slice(-TAIL_LINES)].join('\n');
}
