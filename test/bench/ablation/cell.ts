import type { Configuration } from './configurations.ts';

/** One configuration at one number of rows and one delay. */
export interface Cell extends Configuration {
  /** Sequences that decoded at the same time, on all hosts together. */
  readonly rows: number;
  /** One-way delay between two nodes. */
  readonly delayMs: number;
  readonly tpotP50Ms: number;
  readonly tpotP99Ms: number;
  readonly tokensPerSecond: number;
  /** Towards the experts, of all attention hosts together. */
  readonly messagesPerLayerStep: number;
  /** In both directions, of all attention hosts together. */
  readonly bytesPerLayerStep: number;
  /** Mean over the layer steps of the largest number of experts that one activated on any expert instance. */
  readonly aMax: number;
}

/** The cell that fits `wanted`, where it was measured. */
export function findCell(cells: readonly Cell[], wanted: Partial<Cell>): Cell | undefined {
  const keys = Object.keys(wanted) as (keyof Cell)[];
  return cells.find((cell) => keys.every((key) => cell[key] === wanted[key]));
}

/** Rows and delays that were measured, ascending. */
export function axes(cells: readonly Cell[]): { rows: number[]; delaysMs: number[] } {
  const distinct = (values: readonly number[]): number[] => [...new Set(values)].sort((a, b) => a - b);
  return {
    rows: distinct(cells.map((cell) => cell.rows)),
    delaysMs: distinct(cells.map((cell) => cell.delayMs)),
  };
}
