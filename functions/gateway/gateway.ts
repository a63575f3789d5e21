import { Hono } from 'hono';
import { methodNotAllowed } from 'hono/method-not-allowed';
import type { Router } from 'hono/router';
import type { H, RouterRoute } from 'hono/types';
import type { Tracer } from '../../shared/tracing/tracer.ts';
import { allowOrigins } from './access/origins.ts';
import { requireKey } from './access/require-key.ts';
import { createAdmission } from './admission.ts';
import type { GatewayDependencies, GatewayEnvironment } from './dependencies.ts';
import { ClientGoneError, errorResponse, invalid, shown, toRequestError } from './errors.ts';
import { createRequestMetrics } from './metrics/request-metrics.ts';
import { CLIENT_CLOSED_REQUEST } from './metrics/request-watch.ts';
import { watchRequests } from './metrics/watch-requests.ts';
import { addBatchApi } from './routes/batch-api.ts';
import { generate } from './routes/generate.ts';
import { health, ready } from './routes/health.ts';
import { metrics } from './routes/metrics.ts';
import { getModel, listModels } from './routes/models.ts';
import { NOT_OFFERED, notOffered } from './routes/not-offered.ts';
import { docs, openApi } from './routes/openapi.ts';
import { resume } from './routes/streams.ts';
import { detokenize, tokenize } from './routes/tokenize.ts';
import { parseChat } from './schema/chat.ts';
import { parseCompletion } from './schema/completions.ts';
import { parseResponses } from './schema/responses.ts';
import { createRequestTraces, type RequestTraces } from './tracing/request-traces.ts';

/** What a gateway that is given nothing of it makes for itself. */
type Optional = 'admission' | 'batches' | 'metrics' | 'pools' | 'resumptions' | 'accessLog';

export interface GatewayOptions extends Omit<GatewayDependencies, Optional> {
  /** Default: one of its own, for `limits.openRequests`. Give one to be able to drain the gateway. */
  readonly admission?: GatewayDependencies['admission'];
  /** Origins whose scripts may read answers. Default: none. */
  readonly corsOrigins?: readonly string[];
  /** Default: none. */
  readonly batches?: GatewayDependencies['batches'];
  /** Default: of its own. */
  readonly metrics?: GatewayDependencies['metrics'];
  /** Default: none. */
  readonly pools?: GatewayDependencies['pools'];
  /** Default: none. */
  readonly resumptions?: GatewayDependencies['resumptions'];
  /** Told of requests that are traced. Default: none is. */
  readonly tracer?: Tracer | null | undefined;
  /** Default: no log. */
  readonly accessLog?: GatewayDependencies['accessLog'];
  /** Default: one that takes a millisecond to be built, and finds routes fast from then on. */
  readonly router?: Router<[H, RouterRoute]>;
}

/** OpenAI's routes. `prefix` may hold a `:model`, which then need not stand in the body. */
function addApi(app: Hono<GatewayEnvironment>, prefix: string, dependencies: GatewayDependencies): void {
  const { registry, access } = dependencies;
  app.use(`${prefix}/*`, requireKey(access, 'api'));
  const chat = generate(dependencies, {
    parse: parseChat,
    promptField: 'messages',
    answers: 'chat',
  });
  const completion = generate(dependencies, {
    parse: parseCompletion,
    promptField: 'prompt',
    answers: 'completion',
  });
  const responses = generate(dependencies, {
    parse: parseResponses,
    promptField: 'input',
    answers: 'response',
  });
  app.get(`${prefix}/models`, listModels(registry));
  app.get(`${prefix}/models/:id{.+}`, getModel(registry));
  app.post(`${prefix}/chat/completions`, chat);
  app.post(`${prefix}/completions`, completion);
  app.post(`${prefix}/responses`, responses);
  app.get(`${prefix}/streams/:requestId`, resume(dependencies));
  app.post(`${prefix}/tokenize`, tokenize(dependencies));
  app.post(`${prefix}/detokenize`, detokenize(dependencies));
  for (const [path, what] of Object.entries(NOT_OFFERED)) app.post(prefix + path, notOffered(what));
}

/** vLLM's routes beside OpenAI's. */
function addTokenizer(
  app: Hono<GatewayEnvironment>,
  prefix: string,
  dependencies: GatewayDependencies,
): void {
  for (const path of [`${prefix}/tokenize`, `${prefix}/detokenize`]) {
    app.use(path, requireKey(dependencies.access, 'api'));
  }
  app.post(`${prefix}/tokenize`, tokenize(dependencies));
  app.post(`${prefix}/detokenize`, detokenize(dependencies));
}

/** The same, whose access log ends the spans of requests too. */
const tracing = (dependencies: GatewayDependencies, traces: RequestTraces): GatewayDependencies => ({
  ...dependencies,
  accessLog(entry) {
    traces.end(entry);
    dependencies.accessLog(entry);
  },
});

/** OpenAI's HTTP API before the pools of all models. It holds nothing but the connections of requests under way. */
export function createGateway(options: GatewayOptions): Hono<GatewayEnvironment> {
  const dependencies: GatewayDependencies = {
    ...options,
    admission: options.admission ?? createAdmission(options.limits.openRequests),
    metrics: options.metrics ?? createRequestMetrics(),
    batches: options.batches ?? null,
    pools: options.pools ?? null,
    resumptions: options.resumptions ?? null,
    accessLog: options.accessLog ?? (() => {}),
  };
  const traces = options.tracer ? createRequestTraces(options.tracer, options.clock) : null;
  const app = new Hono<GatewayEnvironment>(options.router === undefined ? {} : { router: options.router });

  app.use(async (c, next) => {
    const requestId = dependencies.ids.requestId();
    c.set('requestId', requestId);
    c.header('X-Request-Id', requestId);
    await next();
  });
  if (traces !== null) app.use(traces.middleware);
  app.use(watchRequests(traces === null ? dependencies : tracing(dependencies, traces)));
  const { corsOrigins = [] } = options;
  // Before keys are asked for: a browser asks without one what it may send.
  if (corsOrigins.length > 0) app.use(allowOrigins(corsOrigins));
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) => {
        const allowed = methods.join(', ');
        c.header('Allow', allowed);
        const message = `${c.req.method} is not allowed here, only ${allowed}`;
        return errorResponse(c, invalid(null, message, 'method_not_allowed', 405));
      },
    }),
  );

  for (const path of ['/admin/*', '/metrics']) app.use(path, requireKey(dependencies.access, 'admin'));
  app.get('/health', health(dependencies.dispatcher));
  app.get('/ready', ready(dependencies.registry, dependencies.admission));
  app.get('/metrics', metrics(dependencies));
  app.get('/openapi.json', openApi());
  app.get('/docs', docs());
  for (const prefix of ['', '/models/:model']) addTokenizer(app, prefix, dependencies);
  addApi(app, '/v1', dependencies);
  addApi(app, '/models/:model/v1', dependencies);
  addBatchApi(app, '/v1', dependencies);

  app.notFound((c) => {
    const message = `Unknown address: ${c.req.method} ${shown(c.req.path)}`;
    return errorResponse(c, invalid(null, message, 'unknown_url', 404));
  });
  app.onError((error, c) => {
    if (error instanceof ClientGoneError) {
      return new Response(null, { status: CLIENT_CLOSED_REQUEST });
    }
    return errorResponse(
      c,
      toRequestError(error, (defect) => dependencies.report(defect, c.get('requestId'))),
    );
  });
  return app;
}
