import type { Redis } from 'ioredis';
import { gatherKey, relayAnswerListKey } from '../../shared/protocol/keys.ts';

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
 * Takes one frame back from where it still waits.
 *
 * KEYS the lists of the hosts that it went to. ARGV 1 the frame.
 */
const WITHDRAW = `
for _, list in ipairs(KEYS) do redis.call('LREM', list, 1, ARGV[1]) end
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
/** Bytes of the length before each answer of a joined message. */
export const JOINED_LENGTH_BYTES = 4;

/** Attention host: leaves `frame` in the `lists` of all hosts that it is for. @throws Error when Redis refuses */
export async function multiplyFrame(redis: Redis, lists: readonly string[], frame: Buffer): Promise<void> {
  await redis.eval(MULTIPLY, lists.length, ...lists, frame);
}

/** Attention host: takes `frame` out of the `lists` in which it still waits. @throws Error when Redis refuses */
export async function withdrawFrame(redis: Redis, lists: readonly string[], frame: Buffer): Promise<void> {
  await redis.eval(WITHDRAW, lists.length, ...lists, frame);
}

/** Expert host: adds its answer to those of the other hosts that the frame went to. @throws Error when Redis refuses */
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

/** The answers in a joined message, as views of it. What is cut off is too short to be one. */
export function splitJoined(message: Buffer): Buffer[] {
  const answers: Buffer[] = [];
  for (let at = 0; at < message.byteLength; ) {
    const start = at + JOINED_LENGTH_BYTES;
    at = start > message.byteLength ? start : start + message.readUInt32LE(at);
    answers.push(message.subarray(start, at));
  }
  return answers;
}
