import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { onTestFinished } from 'vitest';
import { readMembers } from '../../gpu-pool/host/membership.ts';
import { readPlacement } from '../../gpu-pool/host/placement-store.ts';
import { servingHosts } from '../../shared/replacement/transition.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import { type Program, usePrograms } from '../support/program.ts';
import { DICTIONARY_MODEL } from '../support/test-host.ts';

export type HostRole = 'attention' | 'experts';

const READY = /^ready: host (\S+)/m;
const POLL_MS = 20;

export interface FleetOptions {
  readonly redisUrl: string;
  /** Hosts of one instance each. */
  readonly attention: number;
  readonly experts: number;
  /** C, replica slots per expert instance and layer. */
  readonly slots: number;
}

/** One host, a process. */
export interface FleetHost {
  readonly id: string;
  readonly program: Program;
}

/** The shipped model in f32 on hosts that are processes of their own, behind a gateway that is one too. */
export interface HostFleet {
  /** The gateway's address without a slash at its end. */
  readonly address: string;
  readonly hosts: Readonly<Record<HostRole, readonly FleetHost[]>>;
  /** Kills a host as a failing machine does. */
  readonly kill: (role: HostRole, host: FleetHost) => Promise<void>;
  /** Starts another host; resolves when it is ready, which says of an expert host that it offers its instance. */
  readonly start: (role: HostRole) => Promise<void>;
  /** Resolves when the placement in force gives replicas to all expert hosts, and each of its experts to `replicas` of them at least. */
  readonly restored: (replicas: number, limitMs: number) => Promise<void>;
}

/** @returns starts a fleet, which ends with the test; to be called where a test file begins */
export function useHostFleets() {
  const janus = usePrograms('infra/cli/janus.ts');

  return async ({ redisUrl, attention, experts, slots }: FleetOptions): Promise<HostFleet> => {
    // What killed hosts leave there goes with it.
    const folder = await mkdtemp(join(tmpdir(), 'janus-fleet-'));
    const redis = new Redis(redisUrl, { maxRetriesPerRequest: null });
    redis.on('error', () => {});
    onTestFinished(async () => {
      redis.disconnect();
      await rm(folder, { recursive: true, force: true });
    });
    const arguments_: Readonly<Record<HostRole, readonly string[]>> = {
      attention: ['--attention', '1', '--expert-instances', `${experts}`],
      experts: ['--experts', '1', '--slots', `${slots}`],
    };
    const hosts: Record<HostRole, FleetHost[]> = { attention: [], experts: [] };
    const start = async (role: HostRole): Promise<void> => {
      const settings = ['--role', role, '--dtype', 'f32', ...arguments_[role]];
      const program = janus(['host', ...settings], { REDIS_URL: redisUrl, TMPDIR: folder });
      const [, id] = await program.waitFor(READY);
      hosts[role].push({ id: id!, program });
    };
    const gateway = janus(['gateway', '--port', '0'], { REDIS_URL: redisUrl });
    const roles: HostRole[] = [
      ...new Array<HostRole>(experts).fill('experts'),
      ...new Array<HostRole>(attention).fill('attention'),
    ];
    const [[, address]] = await Promise.all([gateway.waitFor(/^ready: (http\S+)\/v1/m), ...roles.map(start)]);
    return {
      address: address!,
      hosts,
      async kill(role, host) {
        hosts[role] = hosts[role].filter((other) => other !== host);
        host.program.kill('SIGKILL');
        await host.program.ended;
      },
      start,
      async restored(replicas, limitMs) {
        const deadlineMs = performance.now() + limitMs;
        const isRestored = async (): Promise<boolean> => {
          const placement = await readPlacement(redis, DICTIONARY_MODEL);
          const members = await readMembers(redis, DICTIONARY_MODEL);
          const using = members
            .filter(({ role }) => role === 'attention')
            .map((member) => member.placement?.version);
          const isUsed = using.every((version) => version === placement?.version);
          const ids = hosts.experts.map(({ id }) => id);
          return (
            isUsed &&
            ids.every((id) => placement !== null && serves(placement, id)) &&
            leastHolders(placement!) >= replicas
          );
        };
        while (!(await isRestored())) {
          if (performance.now() > deadlineMs)
            throw new Error(`Replicas were not restored within ${limitMs} ms`);
          await new Promise((resolve) => setTimeout(resolve, POLL_MS));
        }
      },
    };
  };
}

const serves = (placement: Placement, host: string): boolean => servingHosts(placement).includes(host);

/** On how many hosts the expert is that is on fewest. */
function leastHolders({ instances, layers, experts }: Placement): number {
  const holders = layers.flatMap(({ slots }) =>
    Array.from({ length: experts }, (_, expert) => {
      const held = instances.filter(({ id }) => slots[id]!.includes(expert));
      return new Set(held.map(({ host }) => host)).size;
    }),
  );
  return Math.min(...holders);
}
