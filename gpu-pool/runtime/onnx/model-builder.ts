import proto from 'onnx-proto';
import { JanusError } from '../../../shared/errors/janus-error.ts';

const { onnx } = proto;

/** ONNX's numbers for the element types that our graphs use (`TensorProto.DataType`). */
export const ELEMENT_TYPES = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7, bfloat16: 16 } as const;
export type ElementType = keyof typeof ELEMENT_TYPES;

const ELEMENT_BYTES: Record<ElementType, number> = {
  float32: 4,
  uint8: 1,
  int8: 1,
  int32: 4,
  int64: 8,
  bfloat16: 2,
};

/** A number, or the name of a dimension that is known only when the graph runs. */
export type Dimension = number | string;

/** Name of a value (an edge) of the graph. */
export type ValueName = string;

/** An integer unless it is wrapped in `{ float }`: JavaScript cannot tell 1 from 1.0, ONNX can. */
export type Attribute = number | { readonly float: number } | string | readonly number[];
export type Attributes = Readonly<Record<string, Attribute>>;

/** Where operators come from: ONNX itself or ONNX Runtime's contributed ones. */
export type OperatorDomain = '' | 'com.microsoft';

const OPSET_VERSIONS: Record<OperatorDomain, number> = { '': 24, 'com.microsoft': 1 };
/** The IR version of ONNX 1.19, the first with opset 24. */
const IR_VERSION = 11;
/** A protobuf message cannot be larger. Weights beyond that belong into several graphs. */
const MAX_MODEL_BYTES = 2 ** 31 - 1;

/** The value name that leaves out an optional input. */
export const OMITTED: ValueName = '';

/**
 * Builds one ONNX model: constants, nodes, inputs and outputs in the order in which they are added, which must be a
 * topological one. Knows nothing of any model architecture.
 */
export class ModelBuilder {
  readonly #name: string;
  readonly #nodes: proto.onnx.INodeProto[] = [];
  readonly #constants: proto.onnx.ITensorProto[] = [];
  readonly #inputs: proto.onnx.IValueInfoProto[] = [];
  readonly #outputs: proto.onnx.IValueInfoProto[] = [];
  #values = 0;
  #constantBytes = 0;

  /** @param name the graph's name, which appears in ONNX Runtime's messages. */
  constructor(name: string) {
    this.#name = name;
  }

  input(name: ValueName, type: ElementType, dimensions: readonly Dimension[]): ValueName {
    this.#inputs.push(valueInfo(name, type, dimensions));
    return name;
  }

  /** Declares that the value `name`, which some node makes, is an output of the graph. */
  output(name: ValueName, type: ElementType, dimensions: readonly Dimension[]): void {
    this.#outputs.push(valueInfo(name, type, dimensions));
  }

  /**
   * Adds a constant whose bytes are `data` as they are (little endian; bfloat16 as its two bytes).
   * @throws JanusError if `data` does not have as many bytes as `dimensions` say.
   */
  constant(type: ElementType, dimensions: readonly number[], data: ArrayBufferView): ValueName {
    const bytes = dimensions.reduce((product, size) => product * size, ELEMENT_BYTES[type]);
    const name = this.#nextName('constant');
    if (bytes !== data.byteLength) {
      throw new JanusError(
        `graph ${this.#name}: ${name} is ${type}[${dimensions}] = ${bytes} bytes, but its data has ${data.byteLength}`,
      );
    }
    this.#constantBytes += bytes;
    const rawData = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.#constants.push({ name, dataType: ELEMENT_TYPES[type], dims: [...dimensions], rawData });
    return name;
  }

  /** A constant int64 vector, the form in which operators take shapes, axes and sizes. */
  integers(values: readonly number[]): ValueName {
    return this.constant('int64', [values.length], BigInt64Array.from(values, BigInt));
  }

  /** Adds a node with one output, whose name is returned; it gets one of its own unless `output` names it. */
  node(
    operator: string,
    inputs: readonly ValueName[],
    attributes: Attributes = {},
    domain: OperatorDomain = '',
    output: ValueName = this.#nextName(operator),
  ): ValueName {
    this.nodeWithOutputs(operator, inputs, [output], attributes, domain);
    return output;
  }

  /** Adds a node whose outputs get the names `outputs`; `OMITTED` leaves one out. */
  nodeWithOutputs(
    operator: string,
    inputs: readonly ValueName[],
    outputs: readonly ValueName[],
    attributes: Attributes = {},
    domain: OperatorDomain = '',
  ): void {
    this.#nodes.push({
      opType: operator,
      domain,
      input: [...inputs],
      output: [...outputs],
      attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value)),
    });
  }

  /**
   * The model in ONNX's protobuf form.
   * @throws JanusError if its constants are too large for one protobuf message.
   */
  build(): Uint8Array {
    if (this.#constantBytes > MAX_MODEL_BYTES) {
      throw new JanusError(
        `graph ${this.#name}: ${this.#constantBytes} bytes of weights do not fit one ONNX file (at most ` +
          `${MAX_MODEL_BYTES}); use a smaller weight form (int8, int4)`,
      );
    }
    const model = onnx.ModelProto.create({
      irVersion: IR_VERSION,
      opsetImport: Object.entries(OPSET_VERSIONS).map(([domain, version]) => ({ domain, version })),
      producerName: 'janus',
      graph: {
        name: this.#name,
        node: this.#nodes,
        initializer: this.#constants,
        input: this.#inputs,
        output: this.#outputs,
      },
    });
    return onnx.ModelProto.encode(model).finish();
  }

  #nextName(stem: string): ValueName {
    this.#values += 1;
    return `${stem}_${this.#values}`;
  }
}

function valueInfo(
  name: ValueName,
  type: ElementType,
  dimensions: readonly Dimension[],
): proto.onnx.IValueInfoProto {
  const dim = dimensions.map((size) => (typeof size === 'string' ? { dimParam: size } : { dimValue: size }));
  return { name, type: { tensorType: { elemType: ELEMENT_TYPES[type], shape: { dim } } } };
}

function attribute(name: string, value: Attribute): proto.onnx.IAttributeProto {
  const { AttributeType } = onnx.AttributeProto;
  if (typeof value === 'number') return { name, type: AttributeType.INT, i: value };
  if (typeof value === 'string')
    return { name, type: AttributeType.STRING, s: new TextEncoder().encode(value) };
  if ('float' in value) return { name, type: AttributeType.FLOAT, f: value.float };
  return { name, type: AttributeType.INTS, ints: [...value] };
}
