/** Steps and zero points of a block of a tile. */
export const BLOCK_TAIL_BYTES: u32 = 32;
/** Scales of a tile's rows, behind its blocks. */
export const ROW_SCALES_BYTES: u32 = 32;
