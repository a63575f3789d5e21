import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { addTraceOptions, type TraceFlags, toTraceSettings } from './trace-options.ts';

const settingsOf = (args: readonly string[], environment: Record<string, string> = {}) =>
  toTraceSettings(
    addTraceOptions(new Command()).parse(args, { from: 'user' }).opts<TraceFlags>(),
    environment,
  );

describe('traces', () => {
  it('are off by default', () => expect(settingsOf([])).toBeNull());

  it.each([
    ['http://127.0.0.1:4318', 'http://127.0.0.1:4318/v1/traces'],
    ['http://127.0.0.1:4318/', 'http://127.0.0.1:4318/v1/traces'],
    ['https://collector.example/otlp', 'https://collector.example/otlp/v1/traces'],
    ['https://collector.example/otlp/v1/traces', 'https://collector.example/otlp/v1/traces'],
  ])('go to %s', (address, endpoint) => {
    const settings = { endpoint, sampleRatio: 0.01 };
    expect(settingsOf(['--trace-endpoint', address])).toEqual(settings);
    expect(settingsOf([], { OTEL_EXPORTER_OTLP_ENDPOINT: address })).toEqual(settings);
  });

  it('go where the option says rather than the environment', () => {
    const environment = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://other' };
    const args = ['--trace-endpoint', 'http://one', '--trace-sample', '.5'];
    expect(settingsOf(args, environment)).toEqual({ endpoint: 'http://one/v1/traces', sampleRatio: 0.5 });
  });

  it.each([
    [['--trace-endpoint', 'localhost:4318'], /^--trace-endpoint is no HTTP address/],
    [['--trace-endpoint', 'http://a', '--trace-sample', '1.1'], /^--trace-sample is "1.1"; give a number/],
    [['--trace-endpoint', 'http://a', '--trace-sample', 'all'], /^--trace-sample is "all"; give a number/],
    [['--trace-sample', '1'], /^--trace-sample says how many/],
  ])('refuse %j', (args, message) => expect(() => settingsOf(args)).toThrow(message));

  it('refuse an address of the environment that is none', () => {
    expect(() => settingsOf([], { OTEL_EXPORTER_OTLP_ENDPOINT: 'nowhere' })).toThrow(
      /^OTEL_EXPORTER_OTLP_ENDPOINT is no HTTP address/,
    );
  });
});
