import type { Redis } from 'ioredis';
import type { JournalReader } from '../../functions/gateway/generation/journal.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import type { SchedulerLimits } from '../../shared/scheduler/limits.ts';
import type { Scheduler } from '../../shared/scheduler/scheduler.ts';
import type { SimulatedEngine } from './actors/simulated-engine.ts';
import type { Checks } from './checks.ts';
import type { LayerAnswer, LayerFrame } from './messages.ts';
import type { Network } from './network.ts';
import { type ClientOptions, SimulatedClient } from './redis/client.ts';
import type { ScriptMutation, SimulatedServer } from './redis/server.ts';
import type { SimulatedProcess, World } from './world.ts';

/** The parts of our code that a planted bug replaces. */
export interface Parts {
  readonly script: ScriptMutation;
  readonly createJournal: () => JournalReader;
  /** @param host that schedules */
  readonly createScheduler: (placement: Placement, limits: SchedulerLimits, host: string) => Scheduler;
  /** Acknowledges that a host has loaded the wanted version. */
  readonly acknowledge: (redis: Redis, host: string, version: number) => Promise<boolean>;
  /** Tells an instance to go on under another placement. */
  readonly place: (engine: SimulatedEngine, placement: Placement) => void;
}

/** What all actors of a run share. */
export class Bed {
  readonly world: World;
  readonly network: Network<LayerFrame | LayerAnswer>;
  readonly server: SimulatedServer;
  readonly checks: Checks;
  readonly parts: Parts;

  constructor(shared: Pick<Bed, 'world' | 'network' | 'server' | 'checks' | 'parts'>) {
    this.world = shared.world;
    this.network = shared.network;
    this.server = shared.server;
    this.checks = shared.checks;
    this.parts = shared.parts;
  }

  /** Starts a process: `run` is its main program. */
  start(name: string, skewMs: number, run: (process: SimulatedProcess) => Promise<void>): SimulatedProcess {
    const process: SimulatedProcess = { name, isAlive: true, skewMs };
    this.world.after(0, process, () => this.spawn(() => run(process)));
    return process;
  }

  /** Ends a process as SIGKILL does. */
  kill(process: SimulatedProcess): void {
    process.isAlive = false;
    this.server.reset(process);
  }

  /** Lets a part of a process go on by itself. What it throws is a defect, of ours or of the simulation. */
  spawn(run: () => Promise<void>): void {
    run().catch((error: unknown) => this.checks.broke(error));
  }

  /** A client of a pool's host, whose commands survive any number of attempts to connect, or of a function. */
  connect(process: SimulatedProcess, kind: 'host' | 'function'): SimulatedClient {
    const options: ClientOptions = { maxRetriesPerRequest: kind === 'host' ? null : 2 };
    return new SimulatedClient(this.world, this.server, process, options);
  }
}

/** Waits in virtual time. */
export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
