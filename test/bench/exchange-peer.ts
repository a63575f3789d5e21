import { type PeerOptions, startPeer } from '../support/exchange/peer.ts';
import { BehaviourSwitch } from '../support/exchange/test-expert.ts';

/** An expert host in a process of its own, whose experts compute nothing. Its options come as JSON in the first argument. */
const behaviour = BehaviourSwitch.allocate();
new BehaviourSwitch(behaviour).set('idle');
const options = JSON.parse(process.argv[2]!) as Omit<PeerOptions, 'behaviour'>;
// Ends with the benchmark, however that ends.
process.on('disconnect', () => process.exit());
await startPeer({ ...options, behaviour });
process.send!('ready');
