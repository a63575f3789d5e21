import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { startTraceCollector } from '../../test/support/trace-collector.ts';
import { openTracer } from './open-tracer.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** Times below that of a process' start would be taken for times since then. */
const START_MS = 1_700_000_000_000;
const start = { name: 'work', kind: 'server', startMs: START_MS, parent: null, attributes: {} } as const;

/** Loads everything that serves, where OpenTelemetry cannot be loaded. */
const WITHOUT_OPEN_TELEMETRY = `
  import { registerHooks } from 'node:module';
  registerHooks({
    resolve(specifier, context, next) {
      if (specifier.startsWith('@opentelemetry/')) throw new Error('loaded ' + specifier);
      return next(specifier, context);
    },
  });
  for (const command of ['up', 'gateway', 'host']) await import('./infra/cli/commands/' + command + '.ts');
  const { openTracer } = await import('./infra/tracing/open-tracer.ts');
  console.log(await openTracer(null, 'janus', console.log));
  await openTracer({ endpoint: 'http://127.0.0.1:9', sampleRatio: 1 }, 'janus', console.log).catch((error) =>
    console.log(error.message),
  );
`;

it('OpenTelemetry is loaded where traces are asked for, and nowhere else', async () => {
  const args = ['--input-type=module', '--eval', WITHOUT_OPEN_TELEMETRY];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: ROOT });
  expect(stdout).toMatch(/^null\nloaded @opentelemetry\//);
});

it('what is left is sent at the end', async () => {
  const collector = await startTraceCollector();
  const settings = { endpoint: collector.endpoint, sampleRatio: 1 };
  const tracer = (await openTracer(settings, 'janus', () => {}))!;
  const span = tracer.start(start)!;
  span.child('part', START_MS + 1, { count: 2 }).end(START_MS + 3.5);
  span.end(START_MS + 4, { kind: 'short' }, 'broken');
  await tracer.close();
  const [part, work] = collector.spans;
  expect(work).toMatchObject({
    name: 'work',
    startMs: START_MS,
    endMs: START_MS + 4,
    attributes: { kind: 'short' },
    isFailed: true,
  });
  expect(part).toMatchObject({
    name: 'part',
    traceId: work!.traceId,
    parentSpanId: work!.spanId,
    startMs: START_MS + 1,
    endMs: START_MS + 3.5,
    attributes: { count: 2 },
    isFailed: false,
  });
  await collector.close();
});

it('a collector that does not answer does not keep a process from ending', async () => {
  const silent = createServer(() => {}).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const endpoint = `http://127.0.0.1:${(silent.address() as AddressInfo).port}/v1/traces`;
  const tracer = (await openTracer({ endpoint, sampleRatio: 1 }, 'janus', () => {}))!;
  tracer.start(start)!.end(START_MS + 9);
  const closedAtMs = performance.now();
  await tracer.close();
  expect(performance.now() - closedAtMs).toBeLessThan(3_000);
  silent.closeAllConnections();
  silent.close();
});

it('a collector that refuses is told of once', async () => {
  const refusing = createServer((request, response) => {
    request.resume();
    response.writeHead(400).end();
  }).listen(0, '127.0.0.1');
  await once(refusing, 'listening');
  const endpoint = `http://127.0.0.1:${(refusing.address() as AddressInfo).port}/v1/traces`;
  const lines: string[] = [];
  const tracer = (await openTracer({ endpoint, sampleRatio: 1 }, 'janus', (line) => lines.push(line)))!;
  tracer.start(start)!.end(START_MS + 9);
  await expect
    .poll(() => lines, { timeout: 5_000 })
    .toEqual([expect.stringMatching(/^Traces cannot be sent: /)]);
  tracer.start(start)!.end(START_MS + 9);
  await tracer.close();
  expect(lines).toHaveLength(1);
  refusing.closeAllConnections();
  refusing.close();
});
