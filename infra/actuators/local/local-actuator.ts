import type { PoolSizes } from '../../../shared/scaling/solver.ts';
import type { Actuator, ActuatorOutcome } from '../actuator.ts';
import type { HostCommand } from './host-process.ts';
import { type Backoff, DEFAULT_BACKOFF, ProcessPool } from './process-pool.ts';

export interface LocalActuatorOptions {
  /** Served name of the only model that it starts hosts of. */
  readonly model: string;
  /** Bounds of what it starts on this machine. */
  readonly least: PoolSizes;
  readonly most: PoolSizes;
  /** A host with one instance. @param sizes that are wanted when it starts */
  readonly command: (role: 'attention' | 'experts', sizes: PoolSizes) => HostCommand;
  readonly backoff?: Backoff;
  readonly log: (line: string) => void;
}

/** Starts and drains hosts on this machine, one process per instance. */
export class LocalActuator implements Actuator {
  readonly name = 'local';
  readonly #options: LocalActuatorOptions;
  readonly #attention: ProcessPool;
  readonly #experts: ProcessPool;
  #closed = false;

  constructor(options: LocalActuatorOptions) {
    this.#options = options;
    const { backoff = DEFAULT_BACKOFF, command, log } = options;
    const poolOf = (role: 'attention' | 'experts'): ProcessPool =>
      new ProcessPool({ name: role, command: () => command(role, this.#sizes()), backoff, log });
    this.#attention = poolOf('attention');
    this.#experts = poolOf('experts');
  }

  /** Instances that serve. */
  get ready(): PoolSizes {
    return { attention: this.#attention.ready, experts: this.#experts.ready };
  }

  /** Processes that it has started and that have not ended. */
  get processIds(): readonly number[] {
    return [...this.#attention.processIds, ...this.#experts.processIds];
  }

  read(model: string): Promise<PoolSizes | null> {
    return Promise.resolve(model === this.#options.model ? this.#sizes() : null);
  }

  apply(model: string, sizes: PoolSizes): Promise<ActuatorOutcome> {
    return Promise.resolve(this.#apply(model, sizes));
  }

  /** Drains attention hosts, which need the experts until they have, and then expert hosts. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#attention.close();
    await this.#experts.close();
  }

  #apply(model: string, wanted: PoolSizes): ActuatorOutcome {
    if (model !== this.#options.model) {
      return {
        kind: 'refused',
        reason: `This supervisor starts hosts of ${this.#options.model}, not of ${model}.`,
      };
    }
    if (this.#closed) return { kind: 'refused', reason: 'This supervisor is ending.' };
    const { least, most } = this.#options;
    const within = (role: keyof PoolSizes): number =>
      Math.min(most[role], Math.max(least[role], wanted[role]));
    const sizes = { attention: within('attention'), experts: within('experts') };
    const from = this.#sizes();
    if (from.attention === sizes.attention && from.experts === sizes.experts)
      return { kind: 'unchanged', sizes };
    this.#experts.resize(sizes.experts);
    this.#attention.resize(sizes.attention);
    return { kind: 'applied', from, sizes };
  }

  #sizes(): PoolSizes {
    return { attention: this.#attention.wanted, experts: this.#experts.wanted };
  }
}
