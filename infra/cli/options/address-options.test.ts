import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { curlLine, urlOf } from './address-options.ts';

it.each([
  ['127.0.0.1', 'http://127.0.0.1:8000'],
  ['0.0.0.0', 'http://localhost:8000'],
  ['::', 'http://localhost:8000'],
  ['::1', 'http://[::1]:8000'],
  ['gateway.example', 'http://gateway.example:8000'],
])('a gateway on %s is reached at %s', (host, url) => expect(urlOf(host, 8_000)).toBe(url));

it('a shell passes the curl line on as it was meant, quotes and all', () => {
  const question = 'Define "runner\'s" $(whoami).';
  const line = curlLine('http://localhost:8000', 'my-model', question);
  const shown = execFileSync('/bin/sh', ['-c', line.replace(/^curl/, "printf '%s\\n'")], {
    encoding: 'utf8',
  });
  const [url, , , , body] = shown.split('\n');
  expect(url).toBe('http://localhost:8000/v1/chat/completions');
  expect(JSON.parse(body!)).toEqual({ model: 'my-model', messages: [{ role: 'user', content: question }] });
});
