import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { type SocketAddress, SocketLink } from '../../../gpu-pool/exchange/socket-link.ts';
import {
  type HarnessOptions,
  HOST,
  harnessPlacement,
  LAYERS,
  type LinkHarness,
  MODEL,
  PLACEMENT_VERSION,
  SHAPE,
} from './link-harness.ts';
import type { PeerOptions } from './peer.ts';
import { BehaviourSwitch } from './test-expert.ts';

export interface SocketHarness extends LinkHarness {
  readonly link: SocketLink;
  readonly address: SocketAddress;
}

/** A link over a stream socket to a peer on a thread of its own. */
export async function startSocketHarness(
  kind: 'unix' | 'tcp',
  options: HarnessOptions,
): Promise<SocketHarness> {
  const { instances, overdueAfterMs, peerVersion = PLACEMENT_VERSION } = options;
  const folder = await mkdtemp(join(tmpdir(), 'janus-socket-'));
  const path = join(folder, 'exchange.sock');
  const behaviour = BehaviourSwitch.allocate();
  const data: PeerOptions = {
    socket: kind === 'tcp' ? 'tcp' : { path },
    host: HOST,
    placement: harnessPlacement(instances, peerVersion),
    shape: SHAPE,
    behaviour,
    doubleAnswers: options.doubleAnswers ?? false,
  };
  const peer = new Worker(new URL('./peer-thread.ts', import.meta.url), { workerData: data });
  const [{ port }] = (await once(peer, 'message')) as [{ port: number | null }];
  const address = port === null ? { path } : { host: '127.0.0.1', port };
  const hello = { model: MODEL, layers: LAYERS, attention: 'attention-0' };
  const link = new SocketLink({ host: HOST, address, shape: SHAPE, hello, overdueAfterMs });
  const switched = new BehaviourSwitch(behaviour);
  return {
    link,
    address,
    setBehaviour: (mode) => switched.set(mode),
    losePeer: async (afterMs) => {
      await sleep(afterMs);
      await peer.terminate();
    },
    waitingSteps: async () => 0,
    close: async () => {
      await link.close();
      switched.set('compute');
      await peer.terminate();
      await rm(folder, { recursive: true });
    },
  };
}
