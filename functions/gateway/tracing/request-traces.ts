import type { MiddlewareHandler } from 'hono';
import { matchedRoutes } from 'hono/route';
import type { Span, Tracer } from '../../../shared/tracing/tracer.ts';
import type { Clock } from '../../clock.ts';
import type { GatewayEnvironment } from '../dependencies.ts';
import type { AccessEntry } from '../metrics/request-watch.ts';

/** Ends of the routes that are traced: those that generate, and those that go on with what was generated. */
const TRACED_ROUTE = /\/(completions|responses|streams\/:requestId)$/;
/** Sampled requests that may be under way; further ones are not traced. */
const MOST_OPEN_SPANS = 10_000;
/** Least status that says that the server failed. */
const SERVER_FAILURE = 500;

/** Spans of requests, from their arrival to their end, which of a stream comes after its headers. */
export interface RequestTraces {
  /** Begins the span of a request that is sampled, and leaves it in the context. */
  readonly middleware: MiddlewareHandler<GatewayEnvironment>;
  /** Ends the span of the request that this entry of the access log tells of. */
  readonly end: (entry: AccessEntry) => void;
}

export function createRequestTraces(tracer: Tracer, clock: Clock): RequestTraces {
  const open = new Map<string, Span>();
  return {
    async middleware(c, next) {
      const { method } = c.req;
      const route = matchedRoutes(c).findLast((matched) => matched.method === method)?.path ?? '';
      if (TRACED_ROUTE.test(route) && open.size < MOST_OPEN_SPANS) {
        const requestId = c.get('requestId');
        const span = tracer.start({
          name: `${method} ${route}`,
          kind: 'server',
          startMs: clock.nowMs(),
          parent: c.req.header('traceparent') ?? null,
          attributes: {
            'http.request.method': method,
            'http.route': route,
            'janus.request_id': requestId,
          },
        });
        if (span !== null) {
          open.set(requestId, span);
          c.set('span', span);
        }
      }
      await next();
    },
    end({ requestId, status, brokenBy, model, promptTokens, completionTokens }) {
      const span = open.get(requestId);
      if (span === undefined) return;
      open.delete(requestId);
      const worst = brokenBy ?? status;
      const attributes = {
        'http.response.status_code': status,
        'janus.prompt_tokens': promptTokens,
        'janus.completion_tokens': completionTokens,
        ...(model !== null && { 'janus.model': model }),
        ...(brokenBy !== null && { 'janus.broken_by': brokenBy }),
      };
      span.end(clock.nowMs(), attributes, worst >= SERVER_FAILURE ? `status ${worst}` : undefined);
    },
  };
}
