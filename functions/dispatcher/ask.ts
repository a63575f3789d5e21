import { asBrokerFault, BROKER_ANSWER_MS, bounded } from './bounded.ts';

/** Waits for Redis' answer as long as it may take. @throws {DispatchError} `broker` */
export const ask = <Reply>(command: Promise<Reply>): Promise<Reply> =>
  bounded(asBrokerFault(command), BROKER_ANSWER_MS);
