import { type Command, Option } from 'commander';
import { DEFAULT_LOG_LEVEL, LOG_LEVELS, type LogLevel } from '../../../functions/gateway/log-level.ts';
import { DEFAULT_DRAIN_MS } from '../../../functions/gateway/node.ts';
import { oneOf, wholeNumber } from './values.ts';

const MS_PER_S = 1_000;
/** The notice is a part of the time in which requests under way may finish. */
const LONGEST_NOTICE_S = DEFAULT_DRAIN_MS / MS_PER_S;
/** Longest `--max-ttft`: an hour. */
const MOST_FIRST_TOKEN_MS = 60 * 60_000;

export interface OperationFlags {
  readonly logLevel: LogLevel;
  /** In seconds. */
  readonly drainNotice: number;
  /** In milliseconds. */
  readonly maxTtft?: number;
}

export interface OperationSettings {
  readonly logLevel: LogLevel;
  readonly drainNoticeMs: number;
  /** Infinity: any time to the first token is allowed. */
  readonly firstTokenMs: number;
}

/** Adds what an operator sets of a gateway. @param drainNoticeS default of `--drain-notice` */
export function addOperationOptions(command: Command, drainNoticeS: number): Command {
  return command
    .addOption(
      new Option('--log-level <level>', `what goes to stderr as JSON lines: ${LOG_LEVELS.join(', ')}`)
        .argParser(oneOf('--log-level', LOG_LEVELS))
        .default(DEFAULT_LOG_LEVEL),
    )
    .option(
      '--drain-notice <seconds>',
      'when it is told to stop, how long the port stays open with 503 from /ready, for load balancers to notice',
      wholeNumber('--drain-notice', 0, LONGEST_NOTICE_S),
      drainNoticeS,
    )
    .option(
      '--max-ttft <ms>',
      'refuses requests whose first token is predicted later than that, with 429 or 503 and Retry-After (default: none)',
      wholeNumber('--max-ttft', 1, MOST_FIRST_TOKEN_MS),
    );
}

export const toOperationSettings = ({
  logLevel,
  drainNotice,
  maxTtft = Number.POSITIVE_INFINITY,
}: OperationFlags): OperationSettings => ({
  logLevel,
  drainNoticeMs: drainNotice * MS_PER_S,
  firstTokenMs: maxTtft,
});
