import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import {
  ALL_INSTANCES,
  FRAME_HEADER_BYTES,
  readHeader,
  stepBytes,
  writeDispatchBody,
  writeDispatchHeader,
} from '../../shared/protocol/frame.ts';
import { dispatchListKey, gatherKey, hostKey, relayAnswerListKey } from '../../shared/protocol/keys.ts';
import type { LayerStep, LayerStepShape } from '../../shared/protocol/layer-step.ts';
import { acceptAnswer } from './accept-answer.ts';
import {
  AnswerOverdueError,
  emptyStatistics,
  LinkClosedError,
  PeerLostError,
  recordRoundTrip,
} from './link.ts';

/**
 * Multiplies one frame.
 *
 * KEYS the lists of the hosts that it goes to. ARGV 1 the frame. The payload leaves its sender once, however many hosts
 * there are.
 */
const MULTIPLY = `
for _, list in ipairs(KEYS) do redis.call('RPUSH', list, ARGV[1]) end
`;

/**
 * Joins the answers of several hosts to one frame into one message.
 *
 * KEYS 1 answers so far, 2 list of joined answers. ARGV 1 position of the answering host, 2 number of answers expected,
 * 3 the answer, 4 time in ms after which incomplete answers disappear. A second answer of one host replaces the first, and
 * after the message is complete it starts a new one, which never will be and disappears.
 * The message: each answer behind its length, 32 bits, little-endian.
 */
const JOIN = `
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
if redis.call('HLEN', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
  return
end
local joined = {}
for _, answer in ipairs(redis.call('HVALS', KEYS[1])) do
  joined[#joined + 1] = struct.pack('<I4', #answer) .. answer
end
redis.call('DEL', KEYS[1])
redis.call('RPUSH', KEYS[2], table.concat(joined))
redis.call('PEXPIRE', KEYS[2], ARGV[4])
`;

/** Time after which answers that nobody fetches, or that others never complete, disappear. */
const JOIN_TTL_MS = 60_000;
/** Time between two looks at whether the hosts that owe an answer live. */
const LOOK_INTERVAL_MS = 250;
/** Pause after a failed read of the list, while the connection comes back. */
const RECONNECT_PAUSE_MS = 50;

/** Expert host: adds its answer to those of the other hosts that the frame went to. */
export async function joinAnswer(
  redis: Redis,
  model: string,
  request: { attention: string; sequence: number; gather: number },
  hostIndex: number,
  answer: Buffer,
): Promise<void> {
  const { attention, sequence, gather } = request;
  const keys = [gatherKey(model, attention, sequence), relayAnswerListKey(model, attention)];
  await redis.eval(JOIN, 2, ...keys, hostIndex, gather, answer, JOIN_TTL_MS);
}

export interface RedisRelayOptions {
  readonly model: string;
  readonly attention: string;
  readonly shape: LayerStepShape;
  /** Ids of the expert hosts, in host order. */
  readonly hosts: readonly string[];
  /** Connection for sending; it may be shared, but must never block. */
  readonly sender: Redis;
  /** Connection for this object alone, because it blocks; closed with it. */
  readonly receiver: Redis;
  readonly overdueAfterMs: number;
}

interface Pending {
  readonly sequence: number;
  readonly resolve: (message: Buffer) => void;
  readonly reject: (error: Error) => void;
}

/**
 * The relay regime of the exchange's second phase: the sender writes a frame once and Redis multiplies it to the hosts;
 * their answers come back joined, as one message. So a layer step costs an attention host one message in each direction,
 * however many expert hosts there are. A step that fails here is sent again directly by whoever called.
 */
export class RedisRelay {
  readonly statistics = emptyStatistics();
  readonly #options: RedisRelayOptions;
  readonly #key: string;
  #sequence = randomInt(2 ** 32);
  #pending: Pending | undefined;
  #reading = false;
  #closed = false;

  constructor(options: RedisRelayOptions) {
    this.#options = options;
    this.#key = relayAnswerListKey(options.model, options.attention);
  }

  /**
   * Sends `step` to the hosts at the positions `to`, and leaves the share of each in `outputs` at its position.
   *
   * @throws ExchangeError as a link does
   */
  async exchange(step: LayerStep, to: readonly number[], outputs: readonly Float32Array[]): Promise<void> {
    const { shape, hosts } = this.#options;
    const startedAtMs = performance.now();
    const message = await this.#sendOnce(step, to);
    let combineUs = 0;
    for (const answer of split(message)) {
      const header = readHeader(answer, shape);
      const output = outputs[header.hostIndex];
      if (output === undefined)
        throw new PeerLostError('relay', `an answer came from host ${header.hostIndex}`);
      acceptAnswer(hosts[header.hostIndex]!, step, header, answer, output);
      combineUs = Math.max(combineUs, header.combineUs);
    }
    const roundTripUs = (performance.now() - startedAtMs) * 1_000;
    recordRoundTrip(
      this.statistics,
      roundTripUs,
      combineUs,
      1,
      1,
      stepBytes(step, shape) + message.byteLength,
    );
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#pending?.reject(new LinkClosedError('relay'));
    this.#options.receiver.disconnect();
  }

  async #sendOnce(step: LayerStep, to: readonly number[]): Promise<Buffer> {
    const { attention, shape, hosts, model, sender, overdueAfterMs } = this.#options;
    if (this.#closed) throw new LinkClosedError('relay');
    this.#sequence = (this.#sequence + 1) >>> 0;
    // Memory of its own, because ioredis may hold it for longer than this step takes.
    const frame = Buffer.allocUnsafe(stepBytes(step, shape));
    const options = {
      attention,
      sequence: this.#sequence,
      attempt: 0,
      gather: to.length,
      only: ALL_INSTANCES,
    };
    writeDispatchBody(frame, step, shape);
    writeDispatchHeader(frame, step, shape, options);
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    this.#pending = { sequence: this.#sequence, resolve, reject };
    const lists = to.map((host) => dispatchListKey(model, hosts[host]!));
    sender.eval(MULTIPLY, lists.length, ...lists, frame).catch((error) => {
      reject(new PeerLostError('relay', `Redis refused a frame (${error.message})`));
    });
    if (!this.#reading) void this.#read();
    const overdue = setTimeout(() => reject(new AnswerOverdueError('relay', overdueAfterMs)), overdueAfterMs);
    const look = setInterval(() => void this.#look(to, reject), LOOK_INTERVAL_MS);
    try {
      return await promise;
    } finally {
      clearTimeout(overdue);
      clearInterval(look);
      this.#pending = undefined;
    }
  }

  /** Ends the step when one of its hosts has died. */
  async #look(to: readonly number[], reject: (error: Error) => void): Promise<void> {
    const { sender, model, hosts } = this.#options;
    for (const host of to) {
      const alive = await sender.exists(hostKey(model, hosts[host]!)).catch(() => 1);
      if (alive === 0) reject(new PeerLostError(hosts[host]!, 'its heartbeat has ended'));
    }
  }

  /** Reads while a step is under way; a message for an earlier one is dropped. */
  async #read(): Promise<void> {
    this.#reading = true;
    while (this.#pending !== undefined && !this.#closed) {
      try {
        const message = (await this.#options.receiver.blpopBuffer(this.#key, 0))?.[1];
        if (message && sequenceOf(message, this.#options.shape) === this.#pending?.sequence) {
          this.#pending?.resolve(message);
          // The next step begins in a later turn of the loop; reading goes on with it.
          break;
        }
      } catch {
        if (!this.#closed) await sleep(RECONNECT_PAUSE_MS);
      }
    }
    this.#reading = false;
  }
}

const LENGTH_BYTES = 4;

/** The answers in a joined message, as views of it. */
function split(message: Buffer): Buffer[] {
  const answers: Buffer[] = [];
  for (let at = 0; at + LENGTH_BYTES <= message.byteLength; ) {
    const end = at + LENGTH_BYTES + message.readUInt32LE(at);
    answers.push(message.subarray(at + LENGTH_BYTES, end));
    at = end;
  }
  return answers;
}

function sequenceOf(message: Buffer, shape: LayerStepShape): number | undefined {
  if (message.byteLength < LENGTH_BYTES + FRAME_HEADER_BYTES) return undefined;
  return readHeader(split(message)[0]!, shape).sequence;
}
