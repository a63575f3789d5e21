import { JanusError } from '../../../shared/errors/janus-error.ts';
import { bytesPerElement, isNumberFormat, toFloat32 } from '../../checkpoint/number-formats.ts';
import { openShards } from '../../checkpoint/shard-files.ts';
import { rowsAndColumns } from '../part-format.ts';
import type { PackedPart } from '../plan.ts';

/**
 * Reads rows of a checkpoint's tensors into memory that is used again for the next ones: a tensor may be larger than what
 * packing may hold at once.
 */
export class RowReader {
  readonly #files: ReturnType<typeof openShards>;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #numbers: Float32Array<ArrayBuffer>;

  /**
   * @param folder of the checkpoint
   * @param capacity most weights that are read at once
   * @throws JanusError that names the file if the checkpoint is not whole
   */
  constructor(folder: string, capacity: number) {
    this.#files = openShards(folder);
    this.#numbers = new Float32Array(capacity);
    this.#bytes = new Uint8Array(this.#numbers.byteLength);
  }

  /**
   * @param tensor one that the checkpoint was found to hold in this shape
   * @returns `[rows, columns]`, valid until the next call
   * @throws JanusError that names file and tensor if it is there no more, or the file has become shorter
   */
  read({ name, shape }: PackedPart, firstRow: number, rows: number): Float32Array {
    const shard = this.#files.shardOfTensor.get(name);
    const tensor = shard?.tensors.get(name);
    if (shard === undefined || tensor === undefined || !isNumberFormat(tensor.dtype)) {
      throw new JanusError(`tensor ${name} of the checkpoint has changed while it was packed; pack it again`);
    }
    const { columns } = rowsAndColumns(shape);
    const elementBytes = bytesPerElement(tensor.dtype);
    const numbers = this.#numbers.subarray(0, rows * columns);
    const bytes = this.#bytes.subarray(0, numbers.length * elementBytes);
    shard.readInto(bytes, tensor.begin + firstRow * columns * elementBytes);
    toFloat32(tensor.dtype, bytes, numbers);
    return numbers;
  }

  close(): void {
    for (const shard of this.#files.shards) shard.close();
  }
}
