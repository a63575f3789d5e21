import { usePrograms } from '../support/program.ts';

export type HostRole = 'attention' | 'experts';

const HOSTS: Readonly<Record<HostRole, readonly string[]>> = {
  attention: ['--role', 'attention', '--attention', '1', '--expert-instances', '2'],
  experts: ['--role', 'experts', '--experts', '1'],
};
const READY = /^ready: /m;

/**
 * The shipped model on one attention host, which has both cores to share with nobody of its kind, on two expert hosts, and a
 * gateway, each a process.
 */
export interface Cluster {
  /** The gateway's address without a slash at its end. */
  readonly address: string;
  /** Kills one host, the first of its role. */
  readonly kill: (role: HostRole) => Promise<void>;
  /** Starts another one in its place; resolves when it is ready. */
  readonly replace: (role: HostRole) => Promise<void>;
}

export interface ClusterOptions {
  readonly redisUrl: string;
  readonly filesFolder: string;
  /** Lines of one batch that are with the hosts at the same time. */
  readonly linesInFlight: number;
}

/** @returns starts a cluster, which ends with the test; to be called where a test file begins */
export function useClusters() {
  const janus = usePrograms('infra/cli/janus.ts');
  const startGateway = usePrograms('test/chaos/gateway.ts');

  return async ({ redisUrl, filesFolder, linesInFlight }: ClusterOptions): Promise<Cluster> => {
    const startHost = (role: HostRole) => janus(['host', ...HOSTS[role]], { REDIS_URL: redisUrl });
    const gateway = startGateway([redisUrl, filesFolder, `${linesInFlight}`]);
    const hosts = {
      experts: [startHost('experts'), startHost('experts')],
      attention: [startHost('attention')],
    };
    const [, address] = await gateway.waitFor(/^ready: (http\S+)\/v1/m);
    await Promise.all(hosts.attention.map((host) => host.waitFor(READY)));
    return {
      address: address!,
      async kill(role) {
        const host = hosts[role].shift()!;
        host.kill('SIGKILL');
        await host.ended;
      },
      async replace(role) {
        const host = startHost(role);
        hosts[role].push(host);
        await host.waitFor(READY);
      },
    };
  };
}
