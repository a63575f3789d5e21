import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';

const MODULES = {
  main: new URL('./run-main.ts', import.meta.url).href,
  stopped: new URL('./until-stopped.ts', import.meta.url).href,
};

it('what gives up is closed, and ends the process with a status and the reason', () => {
  const script = `
    import { runMain } from '${MODULES.main}';
    import { runUntilStopped } from '${MODULES.stopped}';
    const start = async () => ({
      close: async () => console.log('closed'),
      givenUp: Promise.resolve('instance 3 has ended 5 times in a row'),
    });
    await runMain('janus', () => runUntilStopped(start, console.log));
  `;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
  });
  expect({ status, stdout, stderr }).toEqual({
    status: 1,
    stdout: 'closed\n',
    stderr: 'janus: instance 3 has ended 5 times in a row\n',
  });
});
