import { connect, type Socket } from 'node:net';
import {
  ALL_INSTANCES,
  answerBytes,
  dispatchBytes,
  FRAME_HEADER_BYTES,
  FRAME_TEXT_LIMIT_BYTES,
  type FrameHeader,
  readHeader,
  stepBytes,
  writeDispatchBody,
  writeDispatchHeader,
} from '../../shared/protocol/frame.ts';
import type { LayerStep, LayerStepShape } from '../../shared/protocol/layer-step.ts';
import { acceptAnswer } from './accept-answer.ts';
import { FrameSocket } from './frame-socket.ts';
import {
  decodeWelcome,
  EXCHANGE_PROTOCOL,
  encodeHandshake,
  HANDSHAKE_LIMIT_BYTES,
  type Hello,
} from './handshake.ts';
import {
  AnswerOverdueError,
  type ExpertLink,
  emptyStatistics,
  LinkBusyError,
  LinkClosedError,
  PeerLostError,
  recordRoundTrip,
  StepTooLargeError,
} from './link.ts';
import { PeerWatch } from './peer-watch.ts';

/** Where an expert host listens: a path of a Unix socket on the same node, or a TCP address. */
export type SocketAddress = { readonly path: string } | { readonly host: string; readonly port: number };

export interface SocketLinkOptions {
  readonly host: string;
  readonly address: SocketAddress;
  readonly shape: LayerStepShape;
  /** What is said when a connection begins. */
  readonly hello: Omit<Hello, 'protocol' | 'hiddenSize' | 'expertsPerToken'>;
  /** Instance of the host whose share alone this link asks for; all of the host's when absent. */
  readonly only?: number;
  /** A step that is not answered for this long ends with `AnswerOverdueError`. */
  readonly overdueAfterMs: number;
  /** A host that gives no sign of life for this long is given up; null, or absent, where nobody else holds its experts. */
  readonly silenceLimitMs?: number | null;
}

/** Longest wait for a connection and its handshake. */
const CONNECT_LIMIT_MS = 2_000;
/** Times that one layer step is sent: a second time when the connection broke under the first. */
const SEND_LIMIT = 2;

interface Sent {
  readonly sequence: number;
  readonly answered: (header: FrameHeader, frame: Buffer) => void;
  readonly failed: (error: Error) => void;
}

/**
 * Tier 2 of the exchange: a stream socket to the expert host, without a broker. It connects at the first step and again
 * after a break; a step that a break interrupted is sent once more, which is safe because computing it twice gives the same.
 */
export class SocketLink implements ExpertLink {
  readonly kind = 'socket';
  readonly host: string;
  readonly statistics = emptyStatistics();
  readonly #options: SocketLinkOptions;
  readonly #frame: Buffer;
  #connection: FrameSocket | undefined;
  #underWay: Sent | undefined;
  /** Told when the connection breaks while a step goes another way. */
  #whenBroken: ((error: PeerLostError) => void) | undefined;
  /** Why the last connection ended, while there is no other one. */
  #broken: string | undefined;
  #sequence = 0;
  #busy = false;
  #closed = false;
  /** Answers that nobody waited for: doubled, or later than their step's end. */
  dropped = 0;

  constructor(options: SocketLinkOptions) {
    this.#options = options;
    this.host = options.host;
    this.#frame = Buffer.alloc(dispatchBytes(options.shape.maxRows, options.shape));
  }

  async exchange(step: LayerStep, output: Float32Array): Promise<void> {
    const { shape } = this.#options;
    if (this.#closed) throw new LinkClosedError(this.host);
    if (this.#busy) throw new LinkBusyError(this.host);
    if (step.rows > shape.maxRows) throw new StepTooLargeError(this.host, step.rows, shape.maxRows);
    this.#busy = true;
    try {
      await this.#sendUntilAnswered(step, output);
    } finally {
      this.#busy = false;
    }
  }

  watch(bytes: number, lost: (error: PeerLostError) => void): () => void {
    const connection = this.#connection;
    if (connection === undefined) {
      const reason = this.#broken;
      // It ended between two steps. The step that is to be watched is sent in this turn of the loop.
      if (reason !== undefined) queueMicrotask(() => lost(new PeerLostError(this.host, reason)));
      return () => {};
    }
    this.#whenBroken = lost;
    // Whoever sent the step knows when its answer is overdue.
    const watch = this.#watch(connection, performance.now(), bytes, (error) => {
      if (error instanceof PeerLostError) lost(error);
    });
    return () => {
      this.#whenBroken = undefined;
      watch.end();
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#connection?.destroy();
    this.#underWay?.failed(new LinkClosedError(this.host));
  }

  async #sendUntilAnswered(step: LayerStep, output: Float32Array): Promise<void> {
    const startedAtMs = performance.now();
    for (let send = 1; ; send++) {
      try {
        this.#connection ??= await this.#connect();
        const connection = this.#connection;
        // It may have been closed while it connected.
        if (this.#closed) {
          connection.destroy();
          throw new LinkClosedError(this.host);
        }
        const { combineUs, aMax } = await this.#sendOnce(connection, step, output, startedAtMs);
        const roundTripUs = (performance.now() - startedAtMs) * 1_000;
        const { shape } = this.#options;
        recordRoundTrip(this.statistics, {
          roundTripUs,
          combineUs,
          aMax,
          messagesSent: send,
          messagesReceived: 1,
          bytes: send * stepBytes(step, shape) + answerBytes(step.rows, shape),
        });
        return;
      } catch (error) {
        if (!(error instanceof BrokenConnection)) throw error;
        if (this.#closed) throw new LinkClosedError(this.host);
        if (send === SEND_LIMIT) throw new PeerLostError(this.host, error.message, 'host');
      }
    }
  }

  /** Sends the step and waits for its answer; returns the answer's header. */
  #sendOnce(
    connection: FrameSocket,
    step: LayerStep,
    output: Float32Array,
    startedAtMs: number,
  ): Promise<FrameHeader> {
    const { shape, hello } = this.#options;
    const frame = this.#frame.subarray(0, stepBytes(step, shape));
    const { promise, resolve, reject } = Promise.withResolvers<FrameHeader>();
    this.#sequence = (this.#sequence + 1) >>> 0;
    writeDispatchBody(frame, step, shape);
    writeDispatchHeader(frame, step, shape, {
      attention: hello.attention,
      sequence: this.#sequence,
      attempt: 0,
      gather: 0,
      only: this.#options.only ?? ALL_INSTANCES,
    });
    const watch = this.#watch(connection, startedAtMs, frame.byteLength, reject);
    this.#underWay = {
      sequence: this.#sequence,
      answered: (header, answer) => {
        try {
          acceptAnswer(this.host, step, header, answer, output);
          resolve(header);
        } catch (error) {
          reject(error);
        }
      },
      failed: reject,
    };
    connection.send(frame);
    return promise.finally(() => {
      watch.end();
      this.#underWay = undefined;
    });
  }

  #watch(
    connection: FrameSocket,
    startedAtMs: number,
    bytes: number,
    reject: (error: Error) => void,
  ): PeerWatch {
    const { overdueAfterMs, silenceLimitMs = null } = this.#options;
    const giveUp = (error: Error): void => {
      // What is still on its way, in either direction, goes down with the connection: the frame's memory is free again.
      this.#connection = undefined;
      connection.destroy();
      reject(error);
    };
    return new PeerWatch({
      startedAtMs,
      overdueAfterMs,
      silenceLimitMs,
      bytes,
      heard: () => connection.heard,
      probe: () => connection.probe(),
      overdue: (waitedMs) => giveUp(new AnswerOverdueError(this.host, waitedMs)),
      silent: () => giveUp(new PeerLostError(this.host, `it was silent for ${silenceLimitMs} ms`, 'host')),
    });
  }

  #receive(frame: Buffer): void {
    const header = readHeader(frame, this.#options.shape);
    if (this.#underWay?.sequence === header.sequence) this.#underWay.answered(header, frame);
    else this.dropped++;
  }

  /** @throws BrokenConnection when there is nobody, PeerLostError when the host refuses */
  async #connect(): Promise<FrameSocket> {
    const { address, shape, hello, overdueAfterMs, silenceLimitMs } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const socket: Socket = connect(address);
    const limit = Math.max(answerBytes(shape.maxRows, shape), FRAME_HEADER_BYTES + FRAME_TEXT_LIMIT_BYTES);
    const connection = new FrameSocket(
      socket,
      Math.max(limit, HANDSHAKE_LIMIT_BYTES),
      (frame) => resolve(Buffer.from(frame)),
      (reason) => {
        if (this.#connection === connection) {
          this.#connection = undefined;
          this.#broken = reason;
        }
        reject(new BrokenConnection(reason));
        this.#underWay?.failed(new BrokenConnection(reason));
        this.#whenBroken?.(new PeerLostError(this.host, reason));
      },
    );
    const { hiddenSize, expertsPerToken } = shape;
    connection.send(encodeHandshake({ ...hello, protocol: EXCHANGE_PROTOCOL, hiddenSize, expertsPerToken }));
    const late = setTimeout(
      () => {
        socket.destroy(new Error('the host did not answer the connection'));
      },
      Math.min(silenceLimitMs ?? CONNECT_LIMIT_MS, overdueAfterMs),
    );
    try {
      const welcome = decodeWelcome(await promise);
      if ('refused' in welcome) {
        connection.destroy();
        throw new PeerLostError(this.host, `it refused the connection: ${welcome.refused}`);
      }
      connection.receive((frame) => this.#receive(frame));
      this.#broken = undefined;
      return connection;
    } finally {
      clearTimeout(late);
    }
  }
}

/** The connection ended under a step, or could not be made. */
class BrokenConnection extends Error {
  override readonly name = 'BrokenConnection';
}
