import { existsSync, readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import {
  AppsV1Api,
  createConfiguration,
  KubeConfig,
  type RequestContext,
  type SecurityAuthentication,
  ServerConfiguration,
} from '@kubernetes/client-node';
import { JanusError } from '../../../shared/errors/janus-error.ts';

const ACCOUNT_FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount';
const MOUNT_IT = "give the pod its service account's token, as the manifests of `janus deploy` do.";

/** Where an API server is, and who asks it. */
export interface Cluster {
  readonly server: string;
  /** Read anew when its token has expired; null: nobody in particular asks, as behind `kubectl proxy`. */
  readonly tokenFile: string | null;
  /** Certificate of the authority that vouches for the server; null: the usual ones. */
  readonly caFile: string | null;
}

/** The cluster in whose pod this runs. @throws JanusError where it runs in none */
export function surroundingCluster(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Cluster {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = environment;
  if (!host || !port) {
    throw new JanusError(
      'This does not run in a pod (KUBERNETES_SERVICE_HOST is not set): name the cluster with --api-server, for example ' +
        'http://127.0.0.1:8001 of `kubectl proxy`.',
    );
  }
  return {
    server: `https://${isIPv6(host) ? `[${host}]` : host}:${port}`,
    tokenFile: `${ACCOUNT_FOLDER}/token`,
    caFile: `${ACCOUNT_FOLDER}/ca.crt`,
  };
}

/**
 * A client with the token that the file holds now.
 *
 * @param limitMs longest wait for an answer
 * @throws JanusError when a file cannot be read
 */
export function connectCluster({ server, tokenFile, caFile }: Cluster, limitMs: number): AppsV1Api {
  if (caFile !== null && !existsSync(caFile)) throw new JanusError(`${caFile} is not there: ${MOUNT_IT}`);
  const access = new KubeConfig();
  access.loadFromClusterAndUser(
    // Without TLS there is nothing to verify, which the client wants to hear.
    {
      name: 'cluster',
      server,
      skipTLSVerify: server.startsWith('http:'),
      ...(caFile !== null && { caFile }),
    },
    { name: 'user', ...(tokenFile !== null && { token: readToken(tokenFile) }) },
  );
  const limit = {
    pre: async <Request extends { setSignal(signal: AbortSignal): void }>(request: Request) => {
      request.setSignal(AbortSignal.timeout(limitMs));
      return request;
    },
    post: async <Response>(response: Response) => response,
  };
  return new AppsV1Api(
    createConfiguration({
      baseServer: new ServerConfiguration(server, {}),
      authMethods: { default: withOnePool(access) },
      promiseMiddleware: [limit],
    }),
  );
}

/** The client makes a pool of connections for each request; these requests all use the first. */
function withOnePool(access: KubeConfig): SecurityAuthentication {
  let pool: ReturnType<RequestContext['getDispatcher']>;
  return {
    getName: () => access.getName(),
    async applySecurityAuthentication(request) {
      await access.applySecurityAuthentication(request);
      pool ??= request.getDispatcher();
      if (pool !== undefined) request.setDispatcher(pool);
    },
  };
}

function readToken(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new JanusError(`${file} cannot be read (${(error as Error).message}): ${MOUNT_IT}`, {
      cause: error,
    });
  }
}
