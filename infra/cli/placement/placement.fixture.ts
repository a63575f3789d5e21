import { staticPlacement } from '../../../shared/placement/placement.ts';
import { seededRandom } from '../../../shared/placement/seeded-random.ts';
import type { ActivationTrace } from '../../../shared/placement/trace.ts';
import {
  generateTrace,
  RoutingGenerator,
  SKEWED_PROFILE,
} from '../../../shared/placement/trace-generator.ts';
import type { Placement } from '../../../shared/scheduler/layout.ts';

/** Layers, experts and k of the shipped model, whose name the fixtures bear. */
const SHAPE = { layers: 6, experts: 32, expertsPerToken: 4, expertsPerTopic: 6 };

/** A placement that knows nothing of the traffic: 4 instances with 10 slots on two hosts. */
export const inForce: Placement = staticPlacement({
  version: 3,
  model: 'dictionary-moe',
  layers: SHAPE.layers,
  experts: SHAPE.experts,
  capacity: 10,
  instances: Array.from({ length: 4 }, (_, id) => ({ id, host: `host-${id % 2}` })),
});

export const skewedTrace = (): ActivationTrace =>
  generateTrace(new RoutingGenerator({ ...SKEWED_PROFILE, ...SHAPE }, seededRandom(6)), 12, 8);
