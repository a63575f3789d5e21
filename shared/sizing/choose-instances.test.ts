import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import {
  chooseInstances,
  type InstanceCount,
  type Provider,
  type SizingProblem,
} from './choose-instances.ts';

const twoCores: SizingProblem = {
  cores: 2,
  providers: { experts: 'kernels', attention: 'kernels' },
  experts: 32,
  capacity: null,
  attentionLimit: Number.POSITIVE_INFINITY,
  asked: { attention: 'auto', experts: 'auto' },
};
const ONNX_ONLY = { experts: 'onnx-runtime', attention: 'onnx-runtime' } as const;

const provider = fc.constantFrom<Provider>('kernels', 'onnx-runtime');
const asked = fc.oneof(fc.constant<InstanceCount>('auto'), fc.integer({ min: 1, max: 64 }));
const problems: fc.Arbitrary<SizingProblem> = fc.record({
  cores: fc.integer({ min: 1, max: 512 }),
  providers: fc.record({ experts: provider, attention: provider }),
  experts: fc.integer({ min: 1, max: 512 }),
  capacity: fc.option(fc.integer({ min: 1, max: 512 })),
  attentionLimit: fc.oneof(fc.integer({ min: 0, max: 4 }), fc.constant(Number.POSITIVE_INFINITY)),
  asked: fc.record({ attention: asked, experts: asked }),
});
/** Nothing is asked for, and only cores bound the choice. */
const roomy = problems.map(
  (problem): SizingProblem => ({
    ...problem,
    experts: 512,
    capacity: null,
    attentionLimit: Number.POSITIVE_INFINITY,
    asked: { attention: 'auto', experts: 'auto' },
  }),
);

describe('two cores, which were measured', () => {
  it('get one thread each with the kernels', () => {
    expect(chooseInstances(twoCores)).toEqual({
      attention: 1,
      experts: 1,
      reason:
        '2 cores; 1 attention instance (one for about 8 cores); 1 expert instance (one thread per core: with the kernels ' +
        'attention and expert threads help each other)',
    });
    const { reason } = chooseInstances({
      ...twoCores,
      providers: { experts: 'kernels', attention: 'onnx-runtime' },
    });
    expect(reason).toContain('attention threads compute experts while they wait');
  });

  it('get an expert instance each with ONNX Runtime, and an attention instance beside them', () => {
    expect(chooseInstances({ ...twoCores, providers: ONNX_ONLY })).toEqual({
      attention: 1,
      experts: 2,
      reason:
        '2 cores; 1 attention instance (one for about 8 cores); 2 expert instances (one per core: with ONNX Runtime ' +
        'attention and experts take turns)',
    });
  });
});

test('there are as many threads as cores with the kernels, and as many expert instances with ONNX Runtime', () => {
  fc.assert(
    fc.property(roomy, (problem) => {
      const { attention, experts } = chooseInstances(problem);
      if (problem.providers.experts === 'onnx-runtime') expect(experts).toBe(problem.cores);
      else expect(attention + experts).toBe(Math.max(2, problem.cores));
    }),
  );
});

test.each([
  [1, 1],
  [8, 1],
  [11, 1],
  [12, 2],
  [64, 8],
])('%i cores get %i attention instances', (cores, attention) => {
  expect(chooseInstances({ ...twoCores, cores }).attention).toBe(attention);
  expect(chooseInstances({ ...twoCores, cores, providers: ONNX_ONLY }).attention).toBe(attention);
});

test('one more core takes no instance away and adds at most one of each kind', () => {
  fc.assert(
    fc.property(roomy, (problem) => {
      const fewer = chooseInstances(problem);
      const more = chooseInstances({ ...problem, cores: problem.cores + 1 });
      expect(more.attention - fewer.attention).toBeOneOf([0, 1]);
      expect(more.experts - fewer.experts).toBeOneOf([0, 1]);
    }),
  );
});

test('what is asked for is taken as it is, and said to be', () => {
  fc.assert(
    fc.property(problems, (problem) => {
      const { attention, experts, reason } = chooseInstances(problem);
      for (const [flag, count, wanted] of [
        ['--attention', attention, problem.asked.attention],
        ['--experts', experts, problem.asked.experts],
      ] as const) {
        if (wanted !== 'auto') expect(count).toBe(wanted);
        expect(reason.includes(`set by ${flag}`)).toBe(wanted !== 'auto');
      }
    }),
  );
});

test('what is chosen holds every expert, gives each instance one to compute, and fits into memory', () => {
  fc.assert(
    fc.property(problems, (problem) => {
      const { attention, experts } = chooseInstances(problem);
      if (problem.asked.experts === 'auto') {
        expect(experts).toBeGreaterThanOrEqual(1);
        expect(experts).toBeLessThanOrEqual(problem.experts);
        if (problem.capacity !== null) {
          expect(experts * problem.capacity).toBeGreaterThanOrEqual(problem.experts);
        }
      }
      if (problem.asked.attention === 'auto') {
        expect(attention).toBeGreaterThanOrEqual(1);
        expect(attention).toBeLessThanOrEqual(Math.max(1, problem.attentionLimit));
      }
    }),
  );
});

test.each<[string, Partial<SizingProblem>, RegExp]>([
  [
    'slots that ask for more',
    { capacity: 4 },
    /8 expert instances \(the fewest that hold 32 experts in 4 slots/,
  ],
  ['few experts', { cores: 16, experts: 8 }, /8 expert instances \(one for each of 8 experts\)/],
  ['little memory', { cores: 16, attentionLimit: 1 }, /1 attention instance \(no room .* of another\)/],
  ['a single core', { cores: 1 }, /^1 core; .*1 expert instance \(the least\)/],
  [
    'cores that nobody measured',
    { cores: 4 },
    /^4 cores; .*3 expert instances .*; extrapolated from 2 cores$/,
  ],
])('the reason names %s', (_, overrides, reason) => {
  expect(chooseInstances({ ...twoCores, ...overrides }).reason).toMatch(reason);
});

test('nothing is called extrapolated where nothing was chosen', () => {
  const { reason } = chooseInstances({ ...twoCores, cores: 4, asked: { attention: 2, experts: 3 } });
  expect(reason).toBe(
    '4 cores; 2 attention instances (set by --attention); 3 expert instances (set by --experts)',
  );
});
