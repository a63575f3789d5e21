import { describe, expect, test } from 'vitest';
import { GraphSession, view } from '../session.ts';
import { ModelBuilder, OMITTED } from './model-builder.ts';

describe('ModelBuilder', () => {
  test('builds a graph that runs for any size of a symbolic dimension', () => {
    const builder = new ModelBuilder('scale');
    const x = builder.input('x', 'float32', ['T', 2]);
    builder.node('Mul', [x, builder.constant('float32', [2], Float32Array.of(10, 100))], {}, '', 'y');
    builder.output('y', 'float32', ['T', 2]);
    const session = GraphSession.create('scale', builder.build());
    for (const rows of [1, 3]) {
      const y = new Float32Array(rows * 2);
      session.run({ x: view(new Float32Array(rows * 2).fill(2), rows, 2) }, { y: view(y, rows, 2) });
      expect([...y]).toEqual(Array.from({ length: rows }, () => [20, 200]).flat());
    }
    session.release();
  });

  test('takes bfloat16 bytes as they are', () => {
    const builder = new ModelBuilder('bfloat16');
    const x = builder.input('x', 'float32', [2]);
    const constant = builder.constant('bfloat16', [2], Uint8Array.of(0x80, 0x3f, 0x20, 0xc0)); // 1, −2.5
    builder.node('Add', [x, builder.node('Cast', [constant], { to: 1 })], {}, '', 'y');
    builder.output('y', 'float32', [2]);
    const session = GraphSession.create('bfloat16', builder.build());
    const y = new Float32Array(2);
    session.run({ x: view(Float32Array.of(0, 0), 2) }, { y: view(y, 2) });
    expect([...y]).toEqual([1, -2.5]);
    session.release();
  });

  test('writes attributes of every kind, optional inputs and several outputs', () => {
    const builder = new ModelBuilder('attributes');
    const x = builder.input('x', 'float32', [1, 4]);
    builder.nodeWithOutputs('Split', [x], ['left', 'right'], { axis: 1, num_outputs: 2 });
    const leaky = builder.node('LeakyRelu', ['left'], { alpha: { float: 0.5 } });
    const clipped = builder.node('Clip', [
      'right',
      OMITTED,
      builder.constant('float32', [], Float32Array.of(3)),
    ]);
    const scattered = builder.node(
      'ScatterElements',
      [
        leaky,
        builder.constant('int64', [1, 1], BigInt64Array.of(1n)),
        builder.node('Slice', [clipped, builder.integers([0]), builder.integers([1]), builder.integers([1])]),
      ],
      { axis: 1, reduction: 'add' },
    );
    builder.node('Transpose', [scattered], { perm: [1, 0] }, '', 'y');
    builder.output('y', 'float32', [2, 1]);
    const session = GraphSession.create('attributes', builder.build());
    const y = new Float32Array(2);
    session.run({ x: view(Float32Array.of(-2, -4, 9, 1), 1, 4) }, { y: view(y, 2, 1) });
    expect([...y]).toEqual([-1, 1]);
    session.release();
  });

  test('refuses a constant whose data does not fill its shape', () => {
    const builder = new ModelBuilder('short');
    expect(() => builder.constant('float32', [2, 2], new Float32Array(3))).toThrow(
      /graph short: .* float32\[2,2\] = 16 bytes, but its data has 12/,
    );
  });
});
