import { JanusError } from '../../shared/errors/janus-error.ts';
import {
  ALL_INSTANCES,
  answerBytes,
  checkHeader,
  encodeText,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  FrameKind,
  parseHeader,
  readDispatchBody,
  writeHeader,
} from '../../shared/protocol/frame.ts';
import type { LayerStep, LayerStepShape } from '../../shared/protocol/layer-step.ts';
import { type ExpertLink, PeerLostError, StalePlacementError } from './link.ts';

/** Way to this host's own instances; its lane is where incoming steps are put. */
export type InstanceLink = ExpertLink & { readonly lane: LayerStep; readonly aMax: number };

export interface StepServerOptions {
  readonly host: string;
  /** Position of this host among the hosts of the placement. */
  readonly hostIndex: number;
  readonly shape: LayerStepShape;
  /** One per lane: as many steps are computed at the same time. */
  readonly instances: readonly InstanceLink[];
  /** Version of the placement that this host serves first, see `StepServer.serveVersions`. */
  readonly placementVersion: number;
}

/** Sends an answer to whoever sent the frame; resolves when the answer's memory may be changed. Must not reject. */
export type Reply = (request: FrameHeader, answer: Buffer) => Promise<void>;

/**
 * Computes the layer steps that come from other hosts, over whichever link: a frame is put into a free lane, the instances
 * compute it in shared memory, and one payload goes back, the sum over all of them. Steps of several senders are under
 * way in as many lanes as there are; further ones wait in order of arrival.
 *
 * A frame that does not fit is answered with the reason. One that does not even say who sent it is dropped and counted.
 */
export class StepServer {
  readonly #free: Station[];
  /** Frames that wait for a lane: no more than there are senders, since each has one step under way. */
  readonly #waiting: ((station: Station) => void)[] = [];
  readonly #whenFree: (() => void)[] = [];
  readonly #stations: readonly Station[];
  readonly #versions: ServedVersions;
  /** Frames that were no frames of this protocol. */
  unreadable = 0;

  constructor(options: StepServerOptions) {
    this.#versions = { all: [options.placementVersion], newest: options.placementVersion };
    this.#stations = options.instances.map((instances) => new Station(options, instances, this.#versions));
    this.#free = [...this.#stations];
  }

  /** Serves steps of these placement versions, and answers others as stale. */
  serveVersions(versions: readonly number[]): void {
    this.#versions.all = versions;
    this.#versions.newest = Math.max(...versions);
  }

  /** Resolves when everything that was served by now is answered. */
  get idle(): Promise<unknown> {
    return Promise.all(this.#stations.map((station) => station.idle));
  }

  /** Computes the step in `frame`, whose memory must stay until then, and replies. Resolves when the reply is on its way. */
  async serve(frame: Buffer, reply: Reply): Promise<void> {
    let header: FrameHeader;
    try {
      header = parseHeader(frame);
    } catch {
      this.unreadable++;
      return;
    }
    const station =
      this.#free.shift() ?? (await new Promise<Station>((resolve) => this.#waiting.push(resolve)));
    await station.handle(frame, header, reply);
    const next = this.#waiting.shift();
    if (next !== undefined) return next(station);
    this.#free.push(station);
    for (const resolve of this.#whenFree.splice(0)) resolve();
  }

  /** Resolves when a lane is free: whoever reads frames from a list leaves them there until then. */
  async free(): Promise<void> {
    if (this.#free.length === 0) await new Promise<void>((resolve) => this.#whenFree.push(resolve));
  }
}

/** Placement versions whose steps a host serves. */
interface ServedVersions {
  all: readonly number[];
  newest: number;
}

/** One lane with the memory for its answer. */
class Station {
  readonly #options: StepServerOptions;
  readonly #instances: InstanceLink;
  readonly #versions: ServedVersions;
  /** The largest answer; `#output` `[maxRows, H]` is its body, so that the sum is made where it is sent from. */
  readonly #answer: Buffer;
  readonly #output: Float32Array;
  #handling: Promise<void> = Promise.resolve();
  /** Pending while the last reply holds its memory. */
  #replying: Promise<void> = Promise.resolve();

  constructor(options: StepServerOptions, instances: InstanceLink, versions: ServedVersions) {
    const { shape } = options;
    this.#options = options;
    this.#versions = versions;
    this.#instances = instances;
    this.#answer = Buffer.from(new ArrayBuffer(answerBytes(shape.maxRows, shape)));
    this.#output = new Float32Array(
      this.#answer.buffer,
      this.#answer.byteOffset + FRAME_HEADER_BYTES,
      shape.maxRows * shape.hiddenSize,
    );
  }

  get idle(): Promise<void> {
    return this.#handling.then(() => this.#replying);
  }

  handle(frame: Buffer, header: FrameHeader, reply: Reply): Promise<void> {
    this.#handling = this.#handle(frame, header, reply);
    return this.#handling;
  }

  async #handle(frame: Buffer, header: FrameHeader, reply: Reply): Promise<void> {
    // The answer before this one may still be on its way out of the buffer.
    await this.#replying;
    try {
      const combineUs = await this.#compute(frame, header);
      const answer = this.#answer.subarray(0, answerBytes(header.rows, this.#options.shape));
      this.#send(header, FrameKind.answer, answer, combineUs, reply);
    } catch (error) {
      this.#refuse(header, error, reply);
    }
  }

  /** Leaves the host's share of the MoE output in `#output`; returns the time of the weighted sum in microseconds. */
  async #compute(frame: Buffer, header: FrameHeader): Promise<number> {
    const { host, shape } = this.#options;
    const { all, newest } = this.#versions;
    checkHeader(frame, header, shape);
    if (header.kind !== FrameKind.dispatch && header.kind !== FrameKind.activations) {
      throw new JanusError(
        `Exchange frame of kind ${header.kind} came to an expert host, which takes layer steps only.`,
      );
    }
    if (!all.includes(header.placementVersion)) {
      throw new StalePlacementError(host, header.placementVersion, newest);
    }
    const { lane: step, statistics } = this.#instances;
    step.rows = header.rows;
    step.layer = header.layer;
    step.placementVersion = header.placementVersion;
    step.gated = header.kind === FrameKind.dispatch;
    step.only = header.only;
    readDispatchBody(frame, step, shape);
    const combinedBeforeUs = statistics.totalCombineUs;
    await this.#instances.exchange(step, this.#output);
    return statistics.totalCombineUs - combinedBeforeUs;
  }

  #refuse(request: FrameHeader, error: unknown, reply: Reply): void {
    const lost = error instanceof PeerLostError;
    const stale = error instanceof StalePlacementError;
    const kind = lost ? FrameKind.lost : stale ? FrameKind.stale : FrameKind.failed;
    const text = encodeText(lost ? error.what : error instanceof Error ? error.message : String(error));
    const frame = Buffer.alloc(FRAME_HEADER_BYTES + text.byteLength);
    frame.set(text, FRAME_HEADER_BYTES);
    const only = lost && typeof error.lost === 'number' ? error.lost : ALL_INSTANCES;
    this.#send({ ...request, only }, kind, frame, 0, reply, stale ? error.heldVersion : undefined);
  }

  #send(
    request: FrameHeader,
    kind: FrameKind,
    frame: Buffer,
    combineUs: number,
    reply: Reply,
    heldVersion?: number,
  ): void {
    const { hostIndex } = this.#options;
    const placementVersion = heldVersion ?? this.#versions.newest;
    const { aMax } = this.#instances;
    writeHeader(frame, { ...request, kind, combineUs, placementVersion, hostIndex, aMax });
    this.#replying = reply(request, frame);
  }
}
