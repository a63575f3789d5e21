/**
 * The part of the WebAssembly JavaScript interface that the kernels need. TypeScript declares it among the browser's types
 * only, and those are not Node's.
 */
declare namespace WebAssembly {
  class Module {
    constructor(bytes: ArrayBufferView<ArrayBuffer> | ArrayBuffer);
  }

  class Instance {
    readonly exports: Readonly<Record<string, unknown>>;
    constructor(module: Module, imports?: Readonly<Record<string, Readonly<Record<string, unknown>>>>);
  }

  class Memory {
    /** A new object after each growth; older ones show the memory up to where it ended before. */
    readonly buffer: SharedArrayBuffer;
    constructor(descriptor: { readonly initial: number; readonly maximum: number; readonly shared: true });
    /** Returns the number of pages before. */
    grow(pages: number): number;
  }

  function validate(bytes: ArrayBufferView<ArrayBuffer> | ArrayBuffer): boolean;
}
