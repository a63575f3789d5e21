import { JanusError } from '../../shared/errors/janus-error.ts';
import {
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

export interface StepServerOptions {
  readonly host: string;
  readonly shape: LayerStepShape;
  /** Way to this host's own instances. Its lane is where incoming steps are put. */
  readonly instances: ExpertLink & { readonly lane: LayerStep };
  /** Version of the placement that this host holds. */
  readonly placementVersion: number;
}

/** Sends an answer to whoever sent the frame; resolves when the answer's memory may be changed. Must not reject. */
export type Reply = (attention: string, answer: Buffer) => Promise<void>;

/**
 * Computes the layer steps that come from other hosts, over whichever link, one after the other: a frame is put into the
 * lane, the instances compute it in shared memory, and one payload goes back, the sum over all of them.
 *
 * A frame that does not fit is answered with the reason. One that does not even say who sent it is dropped and counted.
 */
export class StepServer {
  readonly #options: StepServerOptions;
  /** The largest answer; `#output` `[maxRows, H]` is its body, so that the sum is made where it is sent from. */
  readonly #answer: Buffer;
  readonly #output: Float32Array;
  /** The last frame that came. */
  #last: Promise<void> = Promise.resolve();
  /** Pending while the last reply holds its memory. */
  #replying: Promise<void> = Promise.resolve();
  /** Frames that were no frames of this protocol. */
  unreadable = 0;

  constructor(options: StepServerOptions) {
    const { shape } = options;
    this.#options = options;
    this.#answer = Buffer.from(new ArrayBuffer(answerBytes(shape.maxRows, shape)));
    this.#output = new Float32Array(
      this.#answer.buffer,
      this.#answer.byteOffset + FRAME_HEADER_BYTES,
      shape.maxRows * shape.hiddenSize,
    );
  }

  /** Resolves when everything that was served by now is answered. */
  get idle(): Promise<void> {
    return this.#last.then(() => this.#replying);
  }

  /** Computes the step in `frame`, whose memory must stay until then, and replies. Resolves when the reply is on its way. */
  serve(frame: Buffer, reply: Reply): Promise<void> {
    this.#last = this.#last.then(() => this.#handle(frame, reply));
    return this.#last;
  }

  async #handle(frame: Buffer, reply: Reply): Promise<void> {
    let header: FrameHeader;
    try {
      header = parseHeader(frame);
    } catch {
      this.unreadable++;
      return;
    }
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
    const { host, shape, instances, placementVersion } = this.#options;
    checkHeader(frame, header, shape);
    if (header.kind !== FrameKind.dispatch) {
      throw new JanusError(
        `Exchange frame of kind ${header.kind} came to an expert host, which takes layer steps only.`,
      );
    }
    if (header.placementVersion !== placementVersion) {
      throw new StalePlacementError(host, header.placementVersion, placementVersion);
    }
    const step = instances.lane;
    step.rows = header.rows;
    step.layer = header.layer;
    step.placementVersion = header.placementVersion;
    readDispatchBody(frame, step, shape);
    const { statistics } = instances;
    const combinedBeforeUs = statistics.totalCombineUs;
    await instances.exchange(step, this.#output);
    return statistics.totalCombineUs - combinedBeforeUs;
  }

  #refuse(request: FrameHeader, error: unknown, reply: Reply): void {
    const lost = error instanceof PeerLostError;
    const stale = error instanceof StalePlacementError;
    const kind = lost ? FrameKind.lost : stale ? FrameKind.stale : FrameKind.failed;
    const text = encodeText(lost ? error.what : error instanceof Error ? error.message : String(error));
    const frame = Buffer.alloc(FRAME_HEADER_BYTES + text.byteLength);
    frame.set(text, FRAME_HEADER_BYTES);
    this.#send(request, kind, frame, 0, reply, stale ? error.heldVersion : undefined);
  }

  #send(
    request: FrameHeader,
    kind: FrameKind,
    frame: Buffer,
    combineUs: number,
    reply: Reply,
    heldVersion?: number,
  ): void {
    const placementVersion = heldVersion ?? this.#options.placementVersion;
    writeHeader(frame, { ...request, kind, combineUs, placementVersion });
    this.#replying = reply(request.attention, frame);
  }
}
