import { usePrograms } from '../support/program.ts';

export type HostRole = 'attention' | 'experts';

const HOSTS: Readonly<Record<HostRole, readonly string[]>> = {
  attention: ['--role', 'attention', '--attention', '1', '--expert-instances', '2'],
  experts: ['--role', 'experts', '--experts', '1'],
};
const READY = /^ready: /m;

/** The shipped model on two hosts of either role, and a gateway, each a process. */
export interface Cluster {
  /** The gateway's address without a slash at its end. */
  readonly address: string;
  /** Kills one host, the first of its role. */
  readonly kill: (role: HostRole) => Promise<void>;
  /** Starts another one in its place; resolves when it is ready. */
  readonly replace: (role: HostRole) => Promise<void>;
}

/** @returns starts a cluster, which ends with the test; to be called where a test file begins */
export function useClusters() {
  const janus = usePrograms('infra/cli/janus.ts');

  return async (redisUrl: string, filesFolder: string): Promise<Cluster> => {
    const start = (...args: readonly string[]) => janus(args, { REDIS_URL: redisUrl });
    const startHost = (role: HostRole) => start('host', ...HOSTS[role]);
    const gateway = start('gateway', '--port', '0', '--drain-notice', '0', '--files-dir', filesFolder);
    const hosts = {
      experts: [startHost('experts'), startHost('experts')],
      attention: [startHost('attention'), startHost('attention')],
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
