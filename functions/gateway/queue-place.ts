import type { InteractivePlace } from '../dispatcher/queue.ts';
import type { AccessKey } from './access/access-key.ts';
import { invalid } from './errors.ts';
import type { GenerationRequest } from './schema/request.ts';

/**
 * Where a request stands in its model's queue. Going after others harms nobody; going before them is for who holds the only
 * say, or for keys that may.
 *
 * @param key null where none is needed
 * @throws {RequestError} 403 when the request would go before those of other keys, and its own may not
 */
export function queuePlace({ priority = 0 }: GenerationRequest, key: AccessKey | null): InteractivePlace {
  if (priority < 0 && key !== null && !key.goesFirst) {
    throw invalid(
      'priority',
      `The API key ${key.id} may not send requests that go before others: leave out 'priority' below 0 and 'service_tier' ` +
        '"priority", or use a key that was created with --goes-first',
      'priority_not_allowed',
      403,
    );
  }
  return { owner: key?.id ?? null, level: priority };
}
