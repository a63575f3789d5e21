import { describe, expect, test } from 'vitest';
import { JanusError } from '../../shared/errors/janus-error.ts';
import { ModelBuilder } from './onnx/model-builder.ts';
import { GraphSession, view } from './session.ts';

function doubling(): GraphSession {
  const builder = new ModelBuilder('doubling');
  const x = builder.input('x', 'float32', ['T', 2]);
  builder.node('Add', [x, x], {}, '', 'y');
  builder.output('y', 'float32', ['T', 2]);
  return GraphSession.create('doubling', builder.build());
}

describe('GraphSession', () => {
  test('reads and writes views of shared memory in place and leaves the rest of it alone', () => {
    const session = doubling();
    const memory = new SharedArrayBuffer(64);
    const x = new Float32Array(memory, 0, 6).fill(3);
    const y = new Float32Array(memory, 32, 6).fill(-1);
    session.run({ x: view(x, 2, 2) }, { y: view(y, 2, 2) });
    expect([...y]).toEqual([6, 6, 6, 6, -1, -1]);
    session.release();
  });

  test('leaves nothing of its outputs to the garbage collector', () => {
    const session = doubling();
    const rows = 2 ** 17;
    const x = new Float32Array(2 * rows).fill(3);
    const y = new Float32Array(2 * rows);
    const before = process.memoryUsage().arrayBuffers;
    for (let run = 0; run < 16; run += 1) session.run({ x: view(x, rows, 2) }, { y: view(y, rows, 2) });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 * y.byteLength);
    expect(y.every((value) => value === 6)).toBe(true);
    session.release();
  });

  test('names the graph that ONNX Runtime cannot load', () => {
    const load = (): GraphSession => GraphSession.create('layer 3 pre', Uint8Array.of(1, 2, 3));
    expect(load).toThrow(JanusError);
    expect(load).toThrow(/^graph layer 3 pre: ONNX Runtime cannot load it/);
  });

  test('names the graph whose call fails', () => {
    const session = doubling();
    const run =
      (x: Float32Array, ...shape: number[]) =>
      () =>
        session.run({ x: view(x, ...shape) }, { y: view(new Float32Array(6), ...shape) });
    expect(run(new Float32Array(6), 2, 3)).toThrow(/^graph doubling: ONNX Runtime failed/);
    expect(run(new Float32Array(3), 2, 2)).toThrow(/^graph doubling: ONNX Runtime failed/);
    session.release();
  });

  test('fails cleanly after it was released', () => {
    const session = doubling();
    session.release();
    const run = (): void =>
      session.run({ x: view(new Float32Array(2), 1, 2) }, { y: view(new Float32Array(2), 1, 2) });
    expect(run).toThrow(/^graph doubling/);
  });
});
