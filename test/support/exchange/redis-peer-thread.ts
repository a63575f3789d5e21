import { parentPort, workerData } from 'node:worker_threads';
import { type RedisPeerOptions, startRedisPeer } from './redis-peer.ts';

/** An expert host behind Redis on a thread of its own, its instances on threads of theirs. */
await startRedisPeer(workerData as RedisPeerOptions);
parentPort!.postMessage('ready');
