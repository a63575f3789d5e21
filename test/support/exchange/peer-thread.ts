import { parentPort, workerData } from 'node:worker_threads';
import { type PeerOptions, startPeer } from './peer.ts';

/** An expert host on a thread of its own, its instances on threads of theirs. Says the port that it listens on. */
const port = await startPeer(workerData as PeerOptions);
parentPort!.postMessage({ port });
