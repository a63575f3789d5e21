import { JanusError } from '../../shared/errors/janus-error.ts';

/**
 * Runs a program's main function. What a user can act on is told in one line; the stack of anything else is shown, since it is a
 * defect. Both end the process with status 1.
 *
 * @param program name that the line begins with
 */
export async function runMain(program: string, main: () => Promise<unknown>): Promise<void> {
  try {
    await main();
  } catch (error) {
    if (error instanceof JanusError) console.error(`${program}: ${error.message}`);
    else console.error(`${program}: this is a defect of Janus, please report it:`, error);
    process.exit(1);
  }
}
