import { JanusError } from '../errors/janus-error.ts';
import { AebsScheduler } from './aebs.ts';
import { CostScheduler } from './aebs-cost.ts';
import { EplbScheduler } from './eplb.ts';
import type { Placement } from './layout.ts';
import type { SchedulerLimits } from './limits.ts';
import { OptimalScheduler } from './optimal.ts';
import { RandomScheduler } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import { SCHEDULER_NAMES, type SchedulerName, type SchedulerOptions } from './scheduling.ts';
import { TokenBalancedScheduler } from './token-balanced.ts';

/**
 * Makes the scheduler of that name; `aebs` is the one to use unless there is a reason for another.
 *
 * @throws JanusError for an unknown name, or a limit or option out of range.
 */
export function createScheduler(
  name: SchedulerName,
  limits: SchedulerLimits,
  options: SchedulerOptions = {},
): Scheduler {
  switch (name) {
    case 'aebs':
      return new AebsScheduler(limits);
    case 'optimal':
      return new OptimalScheduler(limits);
    case 'token-balanced':
      return new TokenBalancedScheduler(limits);
    case 'random':
      return new RandomScheduler(limits, options.seed ?? 0);
    case 'eplb':
      return new EplbScheduler(limits);
    case 'aebs-cost':
      return new CostScheduler(limits, options.costPerExpert ?? 1, options.costPerRow ?? 0);
    default:
      throw new JanusError(
        `scheduler ${JSON.stringify(name)} is unknown; choose one of ${SCHEDULER_NAMES.join(', ')}`,
      );
  }
}

/** The scheduler that all hosts use under `placement`. @throws JanusError as `createScheduler` */
export function schedulerOf(placement: Placement, limits: SchedulerLimits): Scheduler {
  const { scheduler, ...options } = placement.scheduling ?? { scheduler: 'aebs' };
  return createScheduler(scheduler, limits, options);
}
