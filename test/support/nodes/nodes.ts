import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bridge, type DelayMethod, delayByNetem, plugIn, setPlugged, startDelayLine } from './delay.ts';
import { Namespace } from './namespace.ts';
import { NodeProcess } from './node-process.ts';

/** Inside the namespaces nothing else exists, so that any private range is unused. */
const NETWORK = '10.77.0';
const NODE_LIMIT = 200;

/** A machine as far as the network is concerned: a namespace with loopback and one interface. */
export interface TestNode {
  readonly name: string;
  readonly address: string;
  /** For temporary files; the same one on all nodes of a network, which removes it at its end. */
  readonly folder: string;
  /** Starts a program; its environment is this process's without `REDIS_URL`, `TMPDIR` for the folder, and `env`. */
  spawn(argv: readonly string[], env?: Readonly<Record<string, string>>): NodeProcess;
  /** Cuts it off from all other nodes, and lets it reach them again. */
  cut(): Promise<void>;
  heal(): Promise<void>;
}

export interface NodesOptions {
  /** One-way delay between two nodes; 0 by default. */
  readonly delayMs?: number;
}

/** Nodes that reach each other, and nothing else. */
export interface Nodes {
  readonly nodes: readonly TestNode[];
  readonly delayMethod: DelayMethod;
  /** Kills what runs on the nodes, and removes them. */
  close(): Promise<void>;
}

/** Why this process cannot make nodes; `undefined` when it can. */
export function nodesUnavailable(): string | undefined {
  if (process.platform !== 'linux') return `network namespaces exist on Linux, not on ${process.platform}`;
  const tried = spawnSync('unshare', [
    '--net',
    'setpriv',
    '--pdeathsig',
    'KILL',
    'ip',
    'link',
    'add',
    'type',
    'veth',
  ]);
  if (tried.error) return `unshare is not on PATH: ${tried.error.message}`;
  const reason = tried.stderr.toString().trim();
  return tried.status === 0 ? undefined : `network namespaces need root, ip and util-linux: ${reason}`;
}

/**
 * Makes `count` nodes in one network. They end with this process, however it ends.
 *
 * @throws Error where {@link nodesUnavailable} gives a reason, or the kernel has no way to delay
 */
export async function createNodes(count: number, { delayMs = 0 }: NodesOptions = {}): Promise<Nodes> {
  if (count > NODE_LIMIT) throw new Error(`${count} nodes are over the limit of ${NODE_LIMIT}.`);
  const folder = await mkdtemp(join(tmpdir(), 'janus-nodes-'));
  const hub = await Namespace.create(folder);
  const namespaces: Namespace[] = [];
  const processes = new Set<NodeProcess>();
  let stopDelay = async (): Promise<void> => {};
  const close = async (): Promise<void> => {
    await Promise.all([...processes].map((running) => running.kill()));
    await stopDelay();
    await rm(folder, { recursive: true, force: true });
    await Promise.all([hub, ...namespaces].map((namespace) => namespace.close()));
  };
  try {
    for (let i = 0; i < count; i++) namespaces.push(await Namespace.create());
    await plugIn(hub, namespaces, (node) => `${addressOf(node)}/24`);
    const delayMethod = await delay();
    return { nodes: namespaces.map((namespace, i) => node(namespace, i)), delayMethod, close };
  } catch (error) {
    await close();
    throw error;
  }

  async function delay(): Promise<DelayMethod> {
    if (delayMs > 0 && !(await delayByNetem(namespaces, delayMs))) {
      stopDelay = await startDelayLine(hub, count, delayMs);
      return 'delay line';
    }
    await bridge(hub, count);
    return delayMs > 0 ? 'tc netem' : 'none';
  }

  function node(namespace: Namespace, index: number): TestNode {
    return {
      name: `node-${index}`,
      address: addressOf(index),
      folder,
      spawn(argv, env = {}) {
        const started = new NodeProcess(namespace, argv, { TMPDIR: folder, ...env });
        processes.add(started);
        void started.ended.then(() => processes.delete(started));
        return started;
      },
      cut: () => setPlugged(hub, index, false),
      heal: () => setPlugged(hub, index, true),
    };
  }
}

const addressOf = (node: number): string => `${NETWORK}.${node + 1}`;
