import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { KubernetesObject, V1Deployment, V1Role, V1RoleBinding } from '@kubernetes/client-node';
import { type Account, authorize } from './access.ts';
import { ApiError } from './api-error.ts';
import { Scales } from './scales.ts';

const DEPLOYMENT_PATH = /^\/apis\/apps\/v1\/namespaces\/([^/]+)\/deployments\/([^/]+?)(\/scale)?$/;
const VERBS: Readonly<Record<string, string>> = {
  GET: 'get',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

/** What an API server was asked, and how it answered. */
export interface AnsweredRequest {
  readonly method: string;
  readonly path: string;
  readonly status: number;
}

/**
 * An API server on this machine that keeps the contract of `deployments/scale`: who may ask what, optimistic concurrency, media
 * types, and answers as `Status` objects. It serves what is applied to it, under the roles that are applied to it.
 */
export interface KubernetesApi {
  readonly url: string;
  readonly requests: readonly AnsweredRequest[];
  /** Deployments, Roles and RoleBindings; it takes no notice of other kinds. */
  apply(objects: readonly KubernetesObject[]): void;
  replicas(namespace: string, name: string): number;
  /** From now on this token is that of the account, and no other one is anybody's. */
  issue(token: string, account: Account): void;
  /** So many requests to come are answered with 429. @param retryAfterS undefined: it does not say when to come again */
  throttle(times: number, retryAfterS?: number): void;
  /** So many requests to come fail with this status. */
  break(times: number, status: number): void;
  /** Run once before each of so many writes to come is looked at, as if somebody else were faster. */
  meddle(times: number, change: () => void): void;
  close(): Promise<void>;
}

/** What a server holds, and what is to go wrong. */
interface State {
  readonly scales: Scales;
  readonly roles: V1Role[];
  readonly bindings: V1RoleBinding[];
  accounts: ReadonlyMap<string, Account>;
  readonly troubles: { readonly error: () => ApiError; times: number }[];
  meddling: { times: number; readonly change: () => void };
}

export async function startKubernetesApi(): Promise<KubernetesApi> {
  const requests: AnsweredRequest[] = [];
  const state: State = {
    scales: new Scales(),
    roles: [],
    bindings: [],
    accounts: new Map(),
    troubles: [],
    meddling: { times: 0, change: () => {} },
  };
  const { url, close } = await listen(async (request, response) => {
    const answered = await answer(state, request).catch(asApiError);
    const isRefused = answered instanceof ApiError;
    const status = isRefused ? answered.code : 200;
    requests.push({ method: request.method ?? '', path: request.url ?? '', status });
    const later = isRefused ? answered.retryAfterS : undefined;
    response.writeHead(status, {
      'Content-Type': 'application/json',
      ...(later !== undefined && { 'Retry-After': later }),
    });
    response.end(JSON.stringify(isRefused ? answered.status() : answered));
  });
  const trouble = (times: number, error: () => ApiError) => state.troubles.push({ times, error });
  return {
    url,
    requests,
    close,
    apply(objects) {
      for (const object of objects) {
        if (object.kind === 'Deployment') state.scales.apply(object as V1Deployment);
        if (object.kind === 'Role') state.roles.push(object as V1Role);
        if (object.kind === 'RoleBinding') state.bindings.push(object as V1RoleBinding);
      }
    },
    replicas: (namespace, name) => state.scales.read(namespace, name).spec?.replicas ?? 0,
    issue(token, account) {
      state.accounts = new Map([[token, account]]);
    },
    throttle: (times, retryAfterS) =>
      trouble(times, () => new ApiError(429, 'TooManyRequests', 'Too many requests', retryAfterS)),
    break: (times, status) =>
      trouble(times, () => new ApiError(status, 'InternalError', 'etcdserver: leader changed')),
    meddle(times, change) {
      state.meddling = { times, change };
    },
  };
}

/** @throws ApiError */
async function answer(state: State, request: IncomingMessage): Promise<object> {
  const { method = '', url = '', headers } = request;
  const body = await bodyOf(request);
  const account = state.accounts.get(/^Bearer (\S+)$/.exec(headers.authorization ?? '')?.[1] ?? '');
  if (account === undefined) throw new ApiError(401, 'Unauthorized', 'Unauthorized');
  const trouble = state.troubles.find(({ times }) => times > 0);
  if (trouble !== undefined) {
    trouble.times -= 1;
    throw trouble.error();
  }
  const [, namespace, name, scale] = DEPLOYMENT_PATH.exec(url) ?? [];
  if (namespace === undefined || name === undefined) {
    throw new ApiError(404, 'NotFound', 'the server could not find the requested resource');
  }
  const resource = scale === undefined ? 'deployments' : 'deployments/scale';
  const verb = VERBS[method] ?? method.toLowerCase();
  authorize(account, { verb, group: 'apps', resource, namespace, name }, state.roles, state.bindings);
  if (method === 'GET') return state.scales.read(namespace, name);
  if (method !== 'PUT') throw new ApiError(405, 'MethodNotAllowed', `${method} is not simulated`);
  if (headers['content-type']?.split(';')[0] !== 'application/json') {
    const message = `the body of the request was in an unknown format: ${headers['content-type']}`;
    throw new ApiError(415, 'UnsupportedMediaType', message);
  }
  if (state.meddling.times > 0) {
    state.meddling.times -= 1;
    state.meddling.change();
  }
  return state.scales.replace(namespace, name, JSON.parse(body));
}

async function listen(onRequest: RequestListener): Promise<{ url: string; close: () => Promise<void> }> {
  const server = createServer(onRequest).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

const asApiError = (error: unknown): ApiError =>
  error instanceof ApiError ? error : new ApiError(500, 'InternalError', String(error));
