import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RunningGateway, startGateway } from '../../functions/gateway/node.ts';
import { TRACED_STEPS } from '../../gpu-pool/attention/sequence-traces.ts';
import type { Host } from '../../gpu-pool/host/host.ts';
import { startHost } from '../../gpu-pool/host/start-host.ts';
import { type OpenTracer, openTracer } from '../../infra/tracing/open-tracer.ts';
import { bearing, makeKey } from '../support/gateway/keyed-bed.ts';
import { useRedis } from '../support/redis.ts';
import { DICTIONARY_MODEL, hostOptions } from '../support/test-host.ts';
import { type CollectedSpan, startTraceCollector, type TraceCollector } from '../support/trace-collector.ts';

const TOKENS = 12;
const PROMPT = 'Define "harbor".';
const ROUTE = 'POST /v1/chat/completions';
/** Times of reports are whole milliseconds. */
const ROUNDING_MS = 1;

const local = useRedis();
let collector: TraceCollector;
let tracer: OpenTracer;
let host: Host;
let gateway: RunningGateway;
let key: string;
beforeAll(async () => {
  collector = await startTraceCollector();
  tracer = await tracerFor(1);
  host = await startHost(hostOptions(local.url), { log() {}, tracer });
  gateway = await gatewayWith(tracer);
  const redis = new Redis(local.url);
  key = await makeKey(redis);
  redis.disconnect();
});
afterAll(async () => {
  await gateway.close();
  await host.close();
  await tracer.close();
  await collector.close();
});

const tracerFor = async (sampleRatio: number): Promise<OpenTracer> =>
  (await openTracer({ endpoint: collector.endpoint, sampleRatio }, 'janus', (line) => {
    throw new Error(line);
  }))!;

const gatewayWith = (used: OpenTracer | null) =>
  startGateway({ redisUrl: local.url, host: '127.0.0.1', port: 0, registryCacheMs: 0, tracer: used });

/** Asks for a whole answer or a stream, and reads it. */
async function ask(port: number, headers: Record<string, string>, fields: object = {}): Promise<Response> {
  const response = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: 'POST',
    headers: { ...bearing(key), ...headers },
    body: JSON.stringify({
      model: DICTIONARY_MODEL,
      messages: [{ role: 'user', content: PROMPT }],
      max_tokens: TOKENS,
      ignore_eos: true,
      ...fields,
    }),
  });
  await response.text();
  return response;
}

/** The `traceparent` of a client, and the id of its trace. */
function callFrom(isSampled: boolean) {
  const traceId = randomBytes(16).toString('hex');
  const spanId = randomBytes(8).toString('hex');
  return { traceId, spanId, headers: { traceparent: `00-${traceId}-${spanId}-0${isSampled ? 1 : 0}` } };
}

/** Spans of one trace, once the request's own has come, which is the last to end. */
async function spansOf(traceId: string, rootName = ROUTE): Promise<CollectedSpan[]> {
  const ofTrace = () => collector.spans.filter((span) => span.traceId === traceId);
  await expect.poll(() => ofTrace().map(({ name }) => name), { timeout: 10_000 }).toContain(rootName);
  return ofTrace();
}

describe('a request that is sampled', () => {
  const [streamed, whole, refused] = [callFrom(true), callFrom(true), callFrom(true)];
  beforeAll(async () => {
    await ask(gateway.port, streamed.headers, { stream: true });
    await ask(gateway.port, whole.headers);
    await ask(gateway.port, { ...refused.headers, Authorization: 'Bearer wrong' });
  });

  it.each([
    ['streamed', streamed],
    ['whole', whole],
  ])('is one connected trace from HTTP to its steps (%s)', async (_, { traceId, spanId }) => {
    const spans = await spansOf(traceId);
    const named = (name: string) => spans.filter((span) => span.name === name);
    const [[server], [reading], [sequence], [queue], [prefill], [decode]] = [
      ROUTE,
      'janus.stream',
      'janus.sequence',
      'janus.queue',
      'janus.prefill',
      'janus.decode',
    ].map((name) => {
      expect(named(name), name).toHaveLength(1);
      return named(name);
    }) as [CollectedSpan][];
    const steps = named('janus.step');
    expect(steps).toHaveLength(TRACED_STEPS);
    expect(spans).toHaveLength(6 + TRACED_STEPS);

    expect(server!.parentSpanId).toBe(spanId);
    for (const span of [reading, sequence]) expect(span!.parentSpanId).toBe(server!.spanId);
    for (const span of [queue, prefill, decode]) expect(span!.parentSpanId).toBe(sequence!.spanId);
    const parents = steps.map(({ parentSpanId }) => parentSpanId).sort();
    expect(parents).toEqual([prefill!.spanId, ...steps.slice(1).map(() => decode!.spanId)].sort());
    for (const span of spans) {
      const above = spans.find((other) => other.spanId === span.parentSpanId) ?? span;
      expect(span.startMs, span.name).toBeGreaterThanOrEqual(above.startMs - ROUNDING_MS);
      expect(span.endMs, span.name).toBeLessThanOrEqual(above.endMs + ROUNDING_MS);
      expect(span.endMs, span.name).toBeGreaterThanOrEqual(span.startMs);
    }
    expect([queue!.endMs, prefill!.endMs]).toEqual([prefill!.startMs, decode!.startMs]);

    expect(server!.attributes).toMatchObject({
      'http.route': '/v1/chat/completions',
      'http.response.status_code': 200,
      'janus.model': DICTIONARY_MODEL,
      'janus.completion_tokens': TOKENS,
    });
    for (const { attributes, startMs, endMs } of steps) {
      expect(attributes['janus.exchange.layer_steps']).toBe(
        host.config.layers * Number(attributes['janus.steps']),
      );
      expect(attributes['janus.exchange.messages']).toBeGreaterThan(0);
      expect(attributes['janus.exchange_ms']).toBeGreaterThan(0);
      expect(attributes['janus.exchange_ms']).toBeLessThanOrEqual(endMs - startMs + 2 * ROUNDING_MS);
    }
  });

  it('leaves neither prompt nor answer nor key with the collector', async () => {
    await spansOf(whole.traceId);
    const text = collector.text();
    expect(text).toContain(DICTIONARY_MODEL);
    for (const secret of [key, key.slice(-20), 'harbor', 'Define']) expect(text).not.toContain(secret);
  });

  it('says which status it was refused with', async () => {
    const spans = await spansOf(refused.traceId);
    expect(spans).toMatchObject([{ attributes: { 'http.response.status_code': 401 }, isFailed: false }]);
  });
});

it('a request that is not sampled, or comes to a gateway that does not trace, sends nothing', async () => {
  const [never, untraced] = [await tracerFor(0), null];
  const gateways = [await gatewayWith(never), await gatewayWith(untraced)] as const;
  const before = collector.spans.length;
  const unsampled = callFrom(false);
  await ask(gateways[0].port, {});
  await ask(gateways[1].port, callFrom(true).headers);
  await ask(gateway.port, unsampled.headers);
  await Promise.all(gateways.map((each) => each.close()));
  await never.close();
  const last = callFrom(true);
  await ask(gateway.port, last.headers);
  await spansOf(last.traceId);
  const traces = new Set(collector.spans.slice(before).map(({ traceId }) => traceId));
  expect([...traces]).toEqual([last.traceId]);
});

it('a client that says nothing of traces is sampled by the ratio', async () => {
  const before = collector.spans.length;
  await ask(gateway.port, { traceparent: 'nonsense' });
  const roots = () => collector.spans.slice(before).filter(({ parentSpanId }) => parentSpanId === undefined);
  await expect.poll(() => roots().map(({ name }) => name), { timeout: 10_000 }).toEqual([ROUTE]);
});
