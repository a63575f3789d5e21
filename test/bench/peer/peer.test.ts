import { describe, expect, it } from 'vitest';
import { BENCH_MODELS } from '../model/options.ts';
import { DEFAULT_OPTIONS, QUICK_OPTIONS } from './measure/options.ts';
import { randomTokens } from './measure/prompts.ts';
import { optionsFromFlags } from './peer.ts';

describe('flags of the comparison with the peer', () => {
  it('choose the whole comparison, or a quick one', () => {
    expect(optionsFromFlags([])).toEqual({ ...DEFAULT_OPTIONS, json: false });
    expect(optionsFromFlags(['--quick', '--json'])).toEqual({ ...QUICK_OPTIONS, json: true });
  });

  it('choose model and cells', () => {
    const flags = '--preset tiny --dtypes int8,f32 --contexts 64,256 --sequences 2,4 --prefill 0';
    expect(optionsFromFlags([...flags.split(' '), '--up=--experts 1 --monolith'])).toMatchObject({
      model: BENCH_MODELS.tiny,
      dtypes: ['int8', 'f32'],
      decode: [
        { context: 64, sequences: [2, 4] },
        { context: 256, sequences: [2, 4] },
      ],
      prefillTokens: 0,
      janusFlags: ['--experts', '1', '--monolith'],
    });
  });

  it.each([
    [['--dtypes', 'int4,f64'], /--dtypes is "f64".*f32, int8, int4/],
    [['--sequences', '1,,2'], /--sequences is ""/],
    [['--contexts', '1'], /--contexts is "1"/],
    [['--model', 'x'], /--model.*--preset/],
  ])('are refused where they are wrong: %j', (args, message) => {
    expect(() => optionsFromFlags(args)).toThrow(message);
  });
});

describe('random tokens', () => {
  it('tell the sequence that they belong to, and are never special', () => {
    const rows = randomTokens(1_000, 7, 200, 3);
    expect(rows.map((row) => new Set(row.map((token) => token % 7)))).toEqual(
      Array.from({ length: 7 }, (_, sequence) => new Set([sequence])),
    );
    expect(Math.max(...rows.flat())).toBeLessThan(997);
    expect(new Set(rows.flat()).size).toBeGreaterThan(500);
  });
});
