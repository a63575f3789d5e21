import { describe, expect, test } from 'vitest';
import { digestOf, sameDigest } from './digest.ts';
import { drawKey, formatKey, isKeyId, parseKey, secureBytes } from './key-text.ts';

const parts = { id: '0123456789abcdef', secret: 'ab'.repeat(32) };
const text = formatKey(parts);

describe('a key', () => {
  test('is written as sk-janus, its id and its secret, and read back', () => {
    expect(text).toBe(`sk-janus-0123456789abcdef-${'ab'.repeat(32)}`);
    expect(parseKey(text)).toEqual(parts);
  });

  test('has a secret of 256 random bits, and no two are the same', () => {
    const drawn = Array.from({ length: 200 }, () => drawKey(secureBytes));
    expect(new Set(drawn.map(({ id }) => id)).size).toBe(200);
    expect(new Set(drawn.map(({ secret }) => secret)).size).toBe(200);
    for (const key of drawn) {
      expect(key.secret).toMatch(/^[0-9a-f]{64}$/);
      expect(isKeyId(key.id)).toBe(true);
      expect(parseKey(formatKey(key))).toEqual(key);
    }
  });

  test('takes its bytes from where it is told', () => {
    expect(drawKey((count) => new Uint8Array(count).fill(0x0f))).toEqual({
      id: '0f'.repeat(8),
      secret: '0f'.repeat(32),
    });
  });

  test.each([
    '',
    'none',
    text.slice(0, -1),
    `${text}0`,
    ` ${text}`,
    `${text}\n`,
    text.toUpperCase(),
    text.replace('sk-janus', 'sk'),
    text.replaceAll('ab', 'xy'),
    'x'.repeat(16_000),
  ])('is not %j', (other) => expect(parseKey(other)).toBeUndefined());
});

describe('a digest', () => {
  test('is SHA-256 in hexadecimal', async () => {
    // The example of FIPS 180-2.
    expect(await digestOf('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  });

  test('is the same only where every digit is', async () => {
    const digest = await digestOf(parts.secret);
    expect(sameDigest(digest, await digestOf(parts.secret))).toBe(true);
    for (let at = 0; at < digest.length; at++) {
      const other = `${digest.slice(0, at)}${digest[at] === '0' ? '1' : '0'}${digest.slice(at + 1)}`;
      expect(sameDigest(digest, other)).toBe(false);
    }
    expect(sameDigest(digest, digest.slice(1))).toBe(false);
    expect(sameDigest(digest, '')).toBe(false);
  });
});
