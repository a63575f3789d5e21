import { LOG_LEVELS, type LogLevel } from '../gateway/log-level.ts';

type LineLevel = Exclude<LogLevel, 'silent'>;
type Write = (fields: object, message: string) => void;

/** A log like the one on Node: JSON lines, which a Worker's console keeps with their fields. */
export type ConsoleLog = Readonly<Record<LineLevel, Write>>;

/** @param level what is told at most */
export function createConsoleLog(level: LogLevel): ConsoleLog {
  const writer =
    (lineLevel: LineLevel): Write =>
    (fields, message) => {
      if (LOG_LEVELS.indexOf(lineLevel) > LOG_LEVELS.indexOf(level)) return;
      console[lineLevel](JSON.stringify({ level: lineLevel, name: 'gateway', ...fields, msg: message }));
    };
  return { error: writer('error'), warn: writer('warn'), info: writer('info') };
}
