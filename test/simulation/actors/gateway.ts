import type { Redis } from 'ioredis';
import { createDoorbellStreams } from '../../../functions/dispatcher/doorbell-streams.ts';
import { readEvents } from '../../../functions/dispatcher/read-events.ts';
import { createBlockingStreams, type TokenStreams } from '../../../functions/dispatcher/token-streams.ts';
import type { Bed } from '../bed.ts';
import { sleep } from '../bed.ts';
import { simulatedJob } from '../simulated-model.ts';
import type { SimulatedProcess } from '../world.ts';
import { addJob } from './queue.ts';

const TIMEOUTS = { queueWaitMs: 20_000, silenceMs: 14_000, overallMs: 30_000 };
const RETRY_MS = 100;

/** On Node a gateway is told what hosts write; on Cloudflare Workers it waits in Redis. */
export type GatewayKind = 'node' | 'worker';

/** A gateway: puts requests into the queue and reads their answers, as `followRequest` does. */
export class SimulatedGateway {
  readonly process: SimulatedProcess;
  readonly #bed: Bed;
  readonly #underWay = new Set<string>();
  #redis: Redis | undefined;
  #streams: TokenStreams | undefined;

  constructor(bed: Bed, name: string, skewMs: number, kind: GatewayKind) {
    this.#bed = bed;
    this.process = bed.start(name, skewMs, (process) => this.#open(process, kind));
  }

  get isReady(): boolean {
    return this.process.isAlive && this.#streams !== undefined;
  }

  /** Sends a client's request on its way. */
  ask(requestId: string, seed: number, maxTokens: number): void {
    const job = simulatedJob(requestId, seed, maxTokens, this.#streams!.doorbell);
    this.#bed.checks.asked(job);
    this.#underWay.add(requestId);
    this.#bed.world.after(0, this.process, () =>
      this.#bed.spawn(async () => {
        await this.#follow(requestId, JSON.stringify(job));
        this.#underWay.delete(requestId);
      }),
    );
  }

  /** Ends at once; its clients lose their connections. */
  kill(): void {
    this.#bed.kill(this.process);
    for (const requestId of this.#underWay) this.#bed.checks.dropped(requestId);
  }

  async #open(process: SimulatedProcess, kind: GatewayKind): Promise<void> {
    const { redis } = this.#bed.connect(process, 'function');
    this.#redis = redis;
    if (kind === 'worker') {
      this.#streams = createBlockingStreams({ run: (ask) => ask(redis), close: () => {} });
      return;
    }
    while (this.#streams === undefined) {
      // While Redis is away, a gateway does not start.
      this.#streams = await createDoorbellStreams(redis, process.name).catch(() => undefined);
      await sleep(RETRY_MS);
    }
  }

  async #follow(requestId: string, data: string): Promise<void> {
    const { checks, parts } = this.#bed;
    const journal = parts.createJournal();
    const dependencies = {
      redis: this.#redis!,
      streams: this.#streams!,
      clock: { nowMs: () => Date.now() },
    };
    const { signal } = new AbortController();
    try {
      await addJob(this.#redis!, requestId, data);
      for await (const events of readEvents(dependencies, requestId, { signal, timeouts: TIMEOUTS })) {
        const { events: news, failure } = journal.read(events);
        checks.took(requestId, news);
        if (failure !== null) return checks.failed(requestId, null, failure);
        if (journal.done()) return checks.finished(requestId);
      }
    } catch (error) {
      checks.failed(requestId, error, null);
    }
  }
}
