/** Scales and zero points of a block of a tile. */
export const BLOCK_TAIL_BYTES: u32 = 32;
