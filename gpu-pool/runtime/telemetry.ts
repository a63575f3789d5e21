import { isMainThread } from 'node:worker_threads';

/**
 * Keeps ONNX Runtime from reporting to its makers: its Linux build does so unless this variable is set when the library
 * loads. To be called on the main thread before workers start, because a worker's `process.env` is a copy that native
 * code does not see.
 */
export function keepTelemetryOff(): void {
  if (isMainThread) process.env.ORT_DISABLE_TELEMETRY ??= '1';
}
