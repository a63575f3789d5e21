import type { Command } from 'commander';
import { JanusError } from '../../../shared/errors/janus-error.ts';

const MOST_ORIGINS = 64;

export interface AccessFlags {
  readonly corsOrigin?: readonly string[];
  readonly allowAnonymous?: true;
}

export interface AccessSettings {
  readonly allowAnonymous: boolean;
  readonly corsOrigins: readonly string[];
}

/** Adds who may use a gateway, but for the keys. */
export function addAccessOptions(command: Command): Command {
  return command
    .option('--cors-origin <origin>', 'lets pages of this origin read answers; may be repeated', addOrigin)
    .option(
      '--allow-anonymous',
      'lets everybody in while no API key exists, also where --host is reached by other machines',
    );
}

export const toAccessSettings = ({ corsOrigin, allowAnonymous }: AccessFlags): AccessSettings => ({
  corsOrigins: corsOrigin ?? [],
  allowAnonymous: allowAnonymous ?? false,
});

/** @throws JanusError when the text is not an origin as browsers write it, or there are too many */
function addOrigin(text: string, before: readonly string[] = []): readonly string[] {
  if (URL.parse(text)?.origin !== text) {
    throw new JanusError(
      `--cors-origin is ${JSON.stringify(text)}; give one origin, for example https://chat.example or http://localhost:3000.`,
    );
  }
  if (before.length === MOST_ORIGINS) {
    throw new JanusError(`--cors-origin is given more than ${MOST_ORIGINS} times.`);
  }
  return [...before, text];
}
