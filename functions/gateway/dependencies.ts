import type { Span } from '../../shared/tracing/tracer.ts';
import type { BatchDesk } from '../batches/desk.ts';
import type { Clock } from '../clock.ts';
import type { Dispatcher } from '../dispatcher/dispatcher.ts';
import type { PoolReader } from '../dispatcher/pool-reader.ts';
import type { Registry } from '../dispatcher/registry.ts';
import type { Access } from './access/access.ts';
import type { AccessKey } from './access/access-key.ts';
import type { Admission } from './admission.ts';
import type { Ids } from './ids.ts';
import type { GatewayLimits } from './limits.ts';
import type { RequestMetrics } from './metrics/request-metrics.ts';
import type { AccessEntry, RequestWatch } from './metrics/request-watch.ts';
import type { Resumptions } from './resumption/resumptions.ts';

/** What the routes work with. */
export interface GatewayDependencies {
  readonly dispatcher: Dispatcher;
  readonly registry: Registry;
  readonly limits: GatewayLimits;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly admission: Admission;
  readonly access: Access;
  readonly metrics: RequestMetrics;
  /** Files and batches; null where this gateway keeps none. */
  readonly batches: BatchDesk | null;
  /** What `/metrics` tells of the pools; null leaves it out. */
  readonly pools: PoolReader | null;
  /** Streams that their clients may come back to; null where this gateway keeps none, and every stream is an ordinary one. */
  readonly resumptions: Resumptions | null;
  /** Told of every request at its end. */
  readonly accessLog: (entry: AccessEntry) => void;
  /** Told of defects and of Redis' failures, of which clients learn no more than the request's id. */
  readonly report: (error: unknown, requestId: string) => void;
}

/** Context variables that middleware sets. */
export interface GatewayEnvironment {
  Variables: {
    /** Also in the answer's `X-Request-Id`. */
    requestId: string;
    /** Of the request's sender, where the route asks for one; null where no key is needed. */
    accessKey: AccessKey | null;
    watch: RequestWatch;
    /** Of a request that is traced. */
    span: Span | undefined;
  };
}
