/**
 * Why a request could not be carried to a pool or back:
 * - `broker`: Redis did not answer, or lost the request.
 * - `busy`: this process holds as many blocking reads as it may.
 * - `queue`: no pool took the request in time.
 * - `silence`: a pool took it and then told nothing for too long.
 * - `overall`: the request lasted longer than any may.
 * - `deadline`: the request lasted longer than its client allows.
 */
export type DispatchFault = 'broker' | 'busy' | 'queue' | 'silence' | 'overall' | 'deadline';

export class DispatchError extends Error {
  override readonly name: string = 'DispatchError';
  readonly fault: DispatchFault;

  constructor(fault: DispatchFault, message: string, options?: ErrorOptions) {
    super(message, options);
    this.fault = fault;
  }
}
