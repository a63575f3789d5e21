import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { nodeMac } from './delay-line.ts';
import type { Namespace } from './namespace.ts';

/** Frames that netem may hold; its default of 1,000 drops bursts of a millisecond. */
const NETEM_LIMIT_FRAMES = 10_000;
/** Interface numbers name device files, which all namespaces share, so they must differ from those of other networks. */
const DEVICE_NUMBER_BASE = 1_000_000;
const DEVICES_PER_PROCESS = 64;

/** How frames between nodes are delayed: not at all, by the kernel, or by a program of ours where the kernel cannot. */
export type DelayMethod = 'none' | 'tc netem' | 'delay line';

/** Names of the interfaces that the hub has, one for each node. */
const hubPort = (node: number): string => `port${node}`;

/** Connects the hub with each node by a pair of virtual Ethernet interfaces. @param cidr address of a node */
export async function plugIn(
  hub: Namespace,
  nodes: readonly Namespace[],
  cidr: (node: number) => string,
): Promise<void> {
  await hub.ip(
    nodes.flatMap((node, i) => [
      `link add ${hubPort(i)} type veth peer name eth0 address ${nodeMac(i)} netns ${node.id}`,
      `link set ${hubPort(i)} up`,
    ]),
  );
  const neighbours = nodes.map((_, i) => [cidr(i).split('/')[0], nodeMac(i)] as const);
  await Promise.all(
    nodes.map((node, i) =>
      node.ip([
        `addr add ${cidr(i)} dev eth0`,
        'link set eth0 up',
        ...neighbours
          .filter((_, other) => other !== i)
          .map(([address, mac]) => `neigh add ${address} lladdr ${mac} dev eth0 nud permanent`),
      ]),
    ),
  );
}

/** Cuts a node off from all others, or lets it reach them again; nobody on it or elsewhere is told. */
export async function setPlugged(hub: Namespace, node: number, isPlugged: boolean): Promise<void> {
  await hub.ip([`link set ${hubPort(node)} ${isPlugged ? 'up' : 'down'}`]);
}

/** Lets the hub pass frames on at once. */
export async function bridge(hub: Namespace, nodes: number): Promise<void> {
  const ports = Array.from({ length: nodes }, (_, i) => `link set ${hubPort(i)} master hub`);
  await hub.ip(['link add hub type bridge', ...ports, 'link set hub up']);
}

/** Has the kernel delay what the nodes send; false where it has no netem. */
export async function delayByNetem(nodes: readonly Namespace[], delayMs: number): Promise<boolean> {
  const rule = `qdisc add dev eth0 root netem delay ${delayMs}ms limit ${NETEM_LIMIT_FRAMES}`;
  try {
    for (const node of nodes) await node.run('tc', rule.split(' '));
    return true;
  } catch {
    return false;
  }
}

let deviceNumbers = 0;

/**
 * Puts our own delay line into the hub in place of a bridge.
 *
 * @returns ends it
 * @throws Error where the kernel has no macvtap either
 */
export async function startDelayLine(
  hub: Namespace,
  nodes: number,
  delayMs: number,
): Promise<() => Promise<void>> {
  const numbers = Array.from(
    { length: nodes },
    () => DEVICE_NUMBER_BASE + process.pid * DEVICES_PER_PROCESS + (deviceNumbers++ % DEVICES_PER_PROCESS),
  );
  await hub.ip(
    numbers.flatMap((number, i) => [
      `link add link ${hubPort(i)} name tap${i} index ${number} type macvtap mode passthru`,
      `link set tap${i} txqueuelen ${NETEM_LIMIT_FRAMES} up`,
    ]),
  );
  const devices = numbers.map((number) => `/dev/tap${number}`);
  const missing = devices.find((device) => !existsSync(device));
  if (missing) throw new Error(`${missing} is missing: delays need tc netem, or macvtap devices under /dev.`);
  const script = fileURLToPath(new URL('./delay-line.ts', import.meta.url));
  // In real time, so that the delay is the timer's and not that of a busy processor; netem is as independent of that.
  const line = hub.spawn(['chrt', '--fifo', '1', process.execPath, script, String(delayMs), ...devices], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(line, 'exit');
  const stop = async (): Promise<void> => {
    line.kill('SIGKILL');
    await ended;
  };
  const started = await Promise.race([once(line.stdout!, 'data').then(() => true), ended.then(() => false)]);
  if (!started) throw new Error('The delay line ended at its start.');
  return stop;
}
