import { expect, test } from 'vitest';
import { HOSTILE_SCHEMAS } from '../../test/support/constrained/hostile-schemas.ts';
import { onThread, slowestStepMs } from '../../test/support/thread-ms.ts';
import { seededRandom } from '../placement/seeded-random.ts';
import { Automaton, type TextState } from './automaton.ts';
import { compileSchema } from './compile-schema.ts';
import { SchemaError } from './schema-error.ts';

/** A gateway answers nobody else while it compiles one. */
const MAX_COMPILE_MS = 300;
/** For all bytes behind one state. */
const MAX_STEP_MS = 20;
const RUNS = 2;
const TEXT_BYTES = 30;

function compiled(schema: unknown): Automaton | undefined {
  try {
    return new Automaton(compileSchema(schema));
  } catch (error) {
    if (error instanceof SchemaError) return undefined;
    throw error;
  }
}

/** Time for each step along a text that goes on for as long as it can. */
function stepTimes(automaton: Automaton): number[] {
  const random = seededRandom(7);
  const times: number[] = [];
  let state: TextState = automaton.start;
  for (let length = 0; length < TEXT_BYTES; length++) {
    const { value: allowed, ms } = onThread(() => automaton.allowedBytes(state));
    times.push(ms);
    const going = allowed.filter((byte) => automaton.next(state, byte)!.open);
    if (going.length === 0) break;
    state = automaton.next(state, going[Math.floor(random() * going.length)]!)!;
  }
  return times;
}

test.each(Object.entries(HOSTILE_SCHEMAS))('a schema of %s takes its time, and no more', (name, schema) => {
  const compilations = Array.from({ length: RUNS }, () => onThread(() => compiled(schema)));
  const compileMs = slowestStepMs(compilations.map(({ ms }) => [ms]));
  const stepMs = slowestStepMs(
    compilations.map(({ value }) => (value === undefined ? [] : stepTimes(value))),
  );
  console.info(`${name}: compiled in ${compileMs.toFixed(1)} ms, slowest step ${stepMs.toFixed(2)} ms`);
  expect(compileMs).toBeLessThan(MAX_COMPILE_MS);
  expect(stepMs).toBeLessThan(MAX_STEP_MS);
});
