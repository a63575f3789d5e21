import { Command } from 'commander';
import { expect, it } from 'vitest';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { type AccessFlags, addAccessOptions, toAccessSettings } from './access-options.ts';

const parse = (...args: string[]) =>
  toAccessSettings(addAccessOptions(new Command()).parse(args, { from: 'user' }).opts<AccessFlags>());

it('lets no origin and nobody in by default', () =>
  expect(parse()).toEqual({ allowAnonymous: false, corsOrigins: [] }));

it('takes origins one by one', () => {
  const origins = ['https://chat.example', 'http://localhost:3000', 'https://chat.example:8443'];
  expect(parse(...origins.flatMap((origin) => ['--cors-origin', origin]), '--allow-anonymous')).toEqual({
    allowAnonymous: true,
    corsOrigins: origins,
  });
});

it.each([
  '*',
  '',
  'null',
  'chat.example',
  'https://chat.example/',
  'https://Chat.example',
  'https://a,https://b',
])('refuses the origin %j, which no browser sends', (origin) => {
  expect(() => parse('--cors-origin', origin)).toThrow(JanusError);
  expect(() => parse('--cors-origin', origin)).toThrow(/^--cors-origin is ".*https:\/\/chat\.example/);
});

it('refuses too many', () => {
  const origins = Array.from({ length: 65 }, (_, port) => `http://localhost:${port + 1_000}`);
  expect(() => parse(...origins.flatMap((origin) => ['--cors-origin', origin]))).toThrow(
    /more than 64 times/,
  );
});
