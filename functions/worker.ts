import type { ExecutionContext, ScheduledController } from '@cloudflare/workers-types';
import { describeError } from './gateway/describe-error.ts';
import { errorBody, unavailable } from './gateway/errors.ts';
import { endingResponse } from './worker/ending-response.ts';
import { createIsolate, type Isolate } from './worker/isolate.ts';
import { onSchedule } from './worker/on-schedule.ts';
import { openRequestGateway } from './worker/request-gateway.ts';
import type { WorkerBindings } from './worker/settings.ts';

let isolate: Isolate | undefined;

/** @throws {JanusError} naming the variable that is missing or not understood */
function isolateOf(bindings: WorkerBindings): Isolate {
  isolate ??= createIsolate(bindings);
  return isolate;
}

/** Who asks learns that the Worker is set up wrongly; only its log tells how. */
function misconfigured(error: unknown): Response {
  console.error(JSON.stringify({ level: 'error', name: 'gateway', error: describeError(error) }));
  const refusal = unavailable('misconfigured', 'This gateway is set up wrongly; its log says how');
  return Response.json(errorBody(refusal), { status: refusal.failure.status });
}

async function fetch(
  request: Request,
  bindings: WorkerBindings,
  context: ExecutionContext,
): Promise<Response> {
  let current: Isolate;
  try {
    current = isolateOf(bindings);
  } catch (error) {
    return misconfigured(error);
  }
  const gateway = await openRequestGateway(current, bindings);
  const ended = Promise.withResolvers<void>();
  // The platform ends a request whose client has gone, in the middle of anything, unless somebody waits for more.
  context.waitUntil(ended.promise.then(gateway.close));
  try {
    return endingResponse(await gateway.app.fetch(request), ended.resolve);
  } catch (error) {
    ended.resolve();
    throw error;
  }
}

const scheduled = (_controller: ScheduledController, bindings: WorkerBindings): Promise<void> =>
  onSchedule(isolateOf(bindings), bindings);

/** The gateway on Cloudflare Workers: the same routes as on Node (gateway/node.ts). */
export default { fetch, scheduled };
