import type { ProductScratch } from './product-scratch.ts';

/**
 * What the kernels are to multiply on this machine: 4-bit codes; also 8-bit codes of one scale per row, where ONNX Runtime's products of
 * bytes help; or all 8-bit codes.
 */
export type KernelReach = 'int4' | 'bytes' | 'int8';

/**
 * What the threads of a host share to compute with the WebAssembly kernels: plain data, passed to worker threads. The main
 * thread of the host laid the memory out; nobody grows it afterwards.
 */
export interface KernelSource {
  readonly memory: WebAssembly.Memory;
  readonly module: WebAssembly.Module;
  /** Int32 `[layers · E]`: where each expert lies, 0 where this host does not hold it as blocks. */
  readonly experts: SharedArrayBuffer;
  /** Memory of one compute thread alone. */
  readonly scratch: number;
  /** More of it, for products of bytes; null where nothing is multiplied so. */
  readonly products: ProductScratch | null;
  readonly reach: KernelReach;
  /** Rows that a thread computes at once: scratch memory is made for so many. */
  readonly maxRows: number;
}

/** How the threads of a host work together. */
export interface TeamSource {
  /** One per attention instance, which leads it. */
  readonly boards: readonly SharedArrayBuffer[];
  /** Expert instances of the host that help; the first ones. */
  readonly helpers: number;
  /** Time that an idle thread looks for work before it sleeps; 0 where the host has more threads than processors. */
  readonly spinMs: number;
}
