import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fitNonNegative, predicted } from './least-squares.ts';

const grid = [1, 2, 4, 8, 16, 32].flatMap((rows) =>
  [64, 256, 1_024].map((context) => [1, rows, rows * context]),
);

describe('fitNonNegative', () => {
  test('finds the coefficients that made the measurements', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.01, max: 5, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 0.01, noNaN: true }),
        (...coefficients) => {
          const { coefficients: found, quality } = fitNonNegative(
            grid.map((features) => ({ features, value: predicted(coefficients, features) })),
          );
          for (const features of grid) {
            const value = predicted(coefficients, features);
            expect(Math.abs(predicted(found, features) - value)).toBeLessThan(1e-3 * value);
          }
          expect(quality.mostRelativeError).toBeLessThan(1e-3);
        },
      ),
    );
  });

  test('never makes a cost negative where plain least squares would', () => {
    // Falls with the rows, which no cost does.
    const falling = grid.map((features) => ({ features, value: 10 - 0.1 * features[1]! }));
    const { coefficients } = fitNonNegative(falling);
    for (const coefficient of coefficients) expect(coefficient).toBeGreaterThanOrEqual(0);
    expect(coefficients[0]).toBeGreaterThan(6);
  });

  test('tells how well it fits', () => {
    const noisy = grid.map((features, index) => ({
      features,
      value: (1 + 0.5 * features[1]!) * (index % 2 === 0 ? 1.1 : 0.9),
    }));
    const { quality } = fitNonNegative(noisy);
    expect(quality.meanRelativeError).toBeGreaterThan(0.03);
    expect(quality.meanRelativeError).toBeLessThan(0.12);
    expect(quality.rSquared).toBeGreaterThan(0.9);
    expect(quality.measurements).toBe(grid.length);
  });

  test('counts errors relative to what it is told, so that what is left of something large may be next to nothing', () => {
    const rests = [
      { features: [1], value: 0.3, relativeTo: 10 },
      { features: [1], value: -0.1, relativeTo: 10 },
      { features: [1], value: 1e-9, relativeTo: 10 },
    ];
    const { coefficients, quality } = fitNonNegative(rests);
    expect(coefficients[0]).toBeCloseTo(0.2 / 3, 6);
    expect(quality.mostRelativeError).toBeCloseTo((0.3 - 0.2 / 3) / 10, 6);
  });

  test('names what cannot be fitted', () => {
    expect(() => fitNonNegative([])).toThrow(/no measurements/);
    expect(() => fitNonNegative([{ features: [1], value: 0 }])).toThrow(/measurement is 0/);
  });
});
