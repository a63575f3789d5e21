import { Hono } from 'hono';
import { methodNotAllowed } from 'hono/method-not-allowed';
import { createAdmission } from './admission.ts';
import type { GatewayDependencies, GatewayEnvironment } from './dependencies.ts';
import { ClientGoneError, errorResponse, invalid, shown, toRequestError } from './errors.ts';
import { createChatFormat } from './responses/chat.ts';
import { createCompletionFormat } from './responses/completions.ts';
import { generate } from './routes/generate.ts';
import { health, ready } from './routes/health.ts';
import { getModel, listModels } from './routes/models.ts';
import { parseChat } from './schema/chat.ts';
import { parseCompletion } from './schema/completions.ts';

/** nginx's status for a client that hung up before it was answered; nobody ever reads it. */
const CLIENT_CLOSED_REQUEST = 499;

export interface GatewayOptions extends Omit<GatewayDependencies, 'admission'> {
  /** Default: one of its own, for `limits.openRequests`. Give one to be able to drain the gateway. */
  readonly admission?: GatewayDependencies['admission'];
}

/** OpenAI's routes. `prefix` may hold a `:model`, which then need not stand in the body. */
function addApi(app: Hono<GatewayEnvironment>, prefix: string, dependencies: GatewayDependencies): void {
  const { registry } = dependencies;
  const chat = generate(dependencies, { parse: parseChat, createFormat: createChatFormat });
  const completion = generate(dependencies, { parse: parseCompletion, createFormat: createCompletionFormat });
  app.get(`${prefix}/models`, listModels(registry));
  app.get(`${prefix}/models/:id{.+}`, getModel(registry));
  app.post(`${prefix}/chat/completions`, chat);
  app.post(`${prefix}/completions`, completion);
}

/** OpenAI's HTTP API before the pools of all models. It holds nothing but the connections of requests under way. */
export function createGateway(options: GatewayOptions): Hono<GatewayEnvironment> {
  const admission = options.admission ?? createAdmission(options.limits.openRequests);
  const dependencies: GatewayDependencies = { ...options, admission };
  const app = new Hono<GatewayEnvironment>();

  app.use(async (c, next) => {
    const requestId = dependencies.ids.requestId();
    c.set('requestId', requestId);
    c.header('X-Request-Id', requestId);
    await next();
  });
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

  app.get('/health', health(dependencies.dispatcher));
  app.get('/ready', ready(dependencies.registry));
  addApi(app, '/v1', dependencies);
  addApi(app, '/models/:model/v1', dependencies);

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
