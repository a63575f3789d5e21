const ID_BYTES = 8;
/** 256 bits: no search finds it, so its digest needs neither salt nor a slow hash. */
const SECRET_BYTES = 32;
const HEX_DIGITS_PER_BYTE = 2;

const hexDigits = (bytes: number): string => `[0-9a-f]{${bytes * HEX_DIGITS_PER_BYTE}}`;
const KEY_ID = new RegExp(`^${hexDigits(ID_BYTES)}$`);
const KEY_TEXT = new RegExp(`^sk-janus-(${hexDigits(ID_BYTES)})-(${hexDigits(SECRET_BYTES)})$`);

/** Unpredictable bytes. */
export type RandomBytes = (count: number) => Uint8Array;

export const secureBytes: RandomBytes = (count) => crypto.getRandomValues(new Uint8Array(count));

/** What an API key consists of. */
export interface KeyParts {
  /** Public. */
  readonly id: string;
  readonly secret: string;
}

export const toHex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(HEX_DIGITS_PER_BYTE, '0')).join('');

export const drawKey = (randomBytes: RandomBytes): KeyParts => ({
  id: toHex(randomBytes(ID_BYTES)),
  secret: toHex(randomBytes(SECRET_BYTES)),
});

export const isKeyId = (text: string): boolean => KEY_ID.test(text);

/** The key as its owner keeps and sends it: `sk-janus-<id>-<secret>`. */
export const formatKey = ({ id, secret }: KeyParts): string => `sk-janus-${id}-${secret}`;

/** @returns undefined when the text cannot be a key of ours */
export function parseKey(text: string): KeyParts | undefined {
  const [, id, secret] = KEY_TEXT.exec(text) ?? [];
  return id === undefined || secret === undefined ? undefined : { id, secret };
}
