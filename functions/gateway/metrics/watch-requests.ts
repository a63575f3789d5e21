import type { MiddlewareHandler } from 'hono';
import type { GatewayDependencies, GatewayEnvironment } from '../dependencies.ts';
import { shown } from '../errors.ts';
import { createRequestWatch, type ResponseTimes } from './request-watch.ts';

/** Ends of the addresses that generate. */
const GENERATION_PATH = /\/(completions|responses)$/;

/** What is known of a generation when the headers are sent, as `Server-Timing` has it. */
const serverTiming = ({ queueMs, firstTokenMs }: ResponseTimes): string =>
  Object.entries({ queue: queueMs, 'first-token': firstTokenMs })
    .filter(([, ms]) => ms !== null)
    .map(([name, ms]) => `${name};dur=${ms}`)
    .join(', ');

/** Watches every request for the metrics and the log, and puts its times into the headers of the response. */
export function watchRequests({
  clock,
  metrics,
  accessLog,
}: GatewayDependencies): MiddlewareHandler<GatewayEnvironment> {
  return async (c, next) => {
    const { method, path } = c.req;
    const requestId = c.get('requestId');
    const isGeneration = method === 'POST' && GENERATION_PATH.test(path);
    const request = { requestId, method, path: shown(path), isGeneration };
    const watch = createRequestWatch({ clock, metrics, accessLog, ...request });
    c.set('watch', watch);
    await next();
    const times = watch.responds(c.res.status);
    // `c.header` would wrap the body of a stream anew.
    const { headers } = c.res;
    headers.set('OpenAI-Processing-Ms', String(times.processingMs));
    const timing = serverTiming(times);
    if (timing !== '') headers.set('Server-Timing', timing);
  };
}
