/** A set of line numbers, as a bitmap in the order of bits that Redis' `SETBIT` has. */
export class LineSet {
  #bits: Uint8Array;

  constructor(bits: Uint8Array) {
    this.#bits = bits;
  }

  has(line: number): boolean {
    const byte = this.#bits[line >> 3] ?? 0;
    return ((byte >> (7 - (line & 7))) & 1) === 1;
  }

  add(line: number): void {
    const at = line >> 3;
    if (at >= this.#bits.length) {
      const larger = new Uint8Array((at + 1) * 2);
      larger.set(this.#bits);
      this.#bits = larger;
    }
    this.#bits[at]! |= 1 << (7 - (line & 7));
  }
}
