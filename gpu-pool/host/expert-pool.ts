import { JanusError } from '../../shared/errors/janus-error.ts';
import type { ExpertInstanceRecord } from '../../shared/protocol/member.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import type { LaneOptions } from '../exchange/lane.ts';
import { allocateSharedExchange, type SharedExchange } from '../exchange/lane-memory.ts';
import { ExpertInstance } from '../experts/expert-instance.ts';
import type { ModelSource } from '../runtime/model-source.ts';
import type { KernelPlan } from './kernel-plan.ts';

/** The expert instances of one host under one placement, and the memory through which they are reached. */
export class ExpertPool {
  readonly shared: SharedExchange;
  readonly instances: readonly ExpertInstance[];

  private constructor(shared: SharedExchange, instances: readonly ExpertInstance[]) {
    this.shared = shared;
    this.instances = instances;
  }

  /**
   * Starts the instances that `placement` gives to `host` and loads their experts.
   *
   * @param kernels null where ONNX Runtime computes everything
   * @param senders number of lanes: attention instances of this host, and endpoints of remote links
   * @throws JanusError when an instance cannot load its experts; then none is left running
   */
  static async start(
    host: string,
    placement: Placement,
    model: ModelSource,
    shape: LaneOptions['shape'],
    senders: number,
    onLost: (instance: number, reason: string) => void,
    kernels: KernelPlan | null = null,
  ): Promise<ExpertPool> {
    const ids = placement.instances
      .filter((instance) => instance.host === host)
      .map((instance) => instance.id);
    if (ids.length === 0)
      throw new JanusError(`Placement version ${placement.version} gives no instance to ${host}.`);
    const laneOptions = {
      shape,
      instances: ids.length,
      placedInstances: placement.instances.length,
      experts: placement.experts,
    };
    const shared = allocateSharedExchange(host, ids[0]!, laneOptions, senders);
    const instances = ids.map(
      (id, index) => new ExpertInstance(id, placement, model, shared, onLost, kernels?.expert(index)),
    );
    const pool = new ExpertPool(shared, instances);
    const loaded = await Promise.allSettled(instances.map((instance) => instance.ready));
    const failed = loaded.find((result) => result.status === 'rejected');
    if (failed) {
      await pool.stop();
      throw failed.reason;
    }
    return pool;
  }

  records(): ExpertInstanceRecord[] {
    return this.instances.map((instance) => instance.record());
  }

  async stop(): Promise<void> {
    await Promise.all(this.instances.map((instance) => instance.stop()));
  }
}
