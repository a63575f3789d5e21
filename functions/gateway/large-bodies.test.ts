import { afterAll, beforeAll, expect, test } from 'vitest';
import { createFuzzBed, type FuzzBed } from '../../test/support/fuzz/fuzz-bed.ts';
import { problemOf } from '../../test/support/fuzz/oracle.ts';
import { MODEL } from '../../test/support/gateway/bed.ts';
import { slowestStepMs } from '../../test/support/thread-ms.ts';
import { DEFAULT_GATEWAY_LIMITS } from './limits.ts';

/** A gateway answers nobody else meanwhile. */
const MAX_MS = 300;
const RUNS = 2;
/** A little less than is taken. */
const BYTES = DEFAULT_GATEWAY_LIMITS.bodyBytes - 2_000;
const US_PER_MS = 1_000;

let bed: FuzzBed;
beforeAll(async () => {
  bed = await createFuzzBed();
});
afterAll(() => bed.close());

/** A list of as many elements as a body may hold. */
const list = (element: string): string => `[${`${element},`.repeat(BYTES / (element.length + 1))}${element}]`;
/** An object of as many entries. */
const entries = (value: string): string => {
  const count = Math.floor(BYTES / (value.length + 9));
  return `{${Array.from({ length: count }, (_, index) => `"${index}":${value}`).join()}}`;
};
const format = (schema: string): string =>
  `{"type":"json_schema","json_schema":{"name":"a","schema":${schema}}}`;
const tool = (name: string): string => `{"type":"function","function":{"name":"${name}"}}`;

const CHAT = '/v1/chat/completions';

test.each<[path: string, field: string, json: string]>([
  ['/v1/responses', 'include', list('1')],
  ['/v1/responses', 'metadata', entries('1')],
  ['/v1/responses', 'input', list('{}')],
  ['/v1/responses', 'text', `{"format":${entries('1')}}`],
  [CHAT, 'messages', list('1')],
  [CHAT, 'messages', `[{"role":"user","content":${list('{}')}}]`],
  [CHAT, 'messages', `[{"role":"user","content":${list('{"type":"text","text":""}')}}]`],
  [CHAT, 'stop', list('""')],
  [CHAT, 'stop_token_ids', list('-1')],
  [CHAT, 'logit_bias', entries('"a"')],
  [CHAT, 'tools', list('{}')],
  [CHAT, 'tools', list(tool('a'))],
  [CHAT, 'tool_choice', entries('{}')],
  [CHAT, 'response_format', format(`{"enum":${list('"a"')}}`)],
  [CHAT, 'response_format', format(`{"properties":${entries('{}')}}`)],
  [CHAT, 'response_format', format(`{"anyOf":${list('{}')}}`)],
  [CHAT, 'response_format', format('[1]'.padStart(BYTES, '['))],
  ['/v1/completions', 'prompt', list('true')],
  ['/v1/completions', 'prompt', list('[]')],
  ['/v1/completions', 'prompt', list('1.5')],
  ['/tokenize', 'messages', list('{}')],
  ['/detokenize', 'tokens', list('"a"')],
  ['/v1/batches', 'metadata', entries('1')],
])('%s with a megabyte of wrong %s is refused in a moment', async (path, field, json) => {
  const rest = path === CHAT && field !== 'messages' ? '"messages":[{"role":"user","content":"a"}],' : '';
  const body = `{"model":"${MODEL}",${rest}"${field}":${json}}`;
  const headers = { 'Content-Length': String(body.length) };
  const times: number[][] = [];
  for (let run = 0; run < RUNS; run++) {
    const before = process.threadCpuUsage();
    const response = await bed.app.request(path, { method: 'POST', headers, body });
    const text = await response.text();
    const { user, system } = process.threadCpuUsage(before);
    times.push([(user + system) / US_PER_MS]);
    expect([response.status, text]).toEqual([400, expect.any(String)]);
    expect(problemOf('POST', { status: response.status, headers: response.headers, text })).toBeUndefined();
  }
  console.info(`${path} ${field}: ${slowestStepMs(times).toFixed(1)} ms`);
  expect(slowestStepMs(times)).toBeLessThan(MAX_MS);
});
