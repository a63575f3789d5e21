import type { Clock } from '../clock.ts';
import type { Dispatcher } from '../dispatcher/dispatcher.ts';
import type { Registry } from '../dispatcher/registry.ts';
import type { Admission } from './admission.ts';
import type { Ids } from './ids.ts';
import type { GatewayLimits } from './limits.ts';

/** What the routes work with. */
export interface GatewayDependencies {
  readonly dispatcher: Dispatcher;
  readonly registry: Registry;
  readonly limits: GatewayLimits;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly admission: Admission;
  /** Told of defects and of Redis' failures, of which clients learn no more than the request's id. */
  readonly report: (error: unknown, requestId: string) => void;
}

/** Context variables that middleware sets. */
export interface GatewayEnvironment {
  Variables: {
    /** Also in the answer's `X-Request-Id`. */
    requestId: string;
  };
}
