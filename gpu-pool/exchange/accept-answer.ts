import {
  ALL_INSTANCES,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  FrameKind,
  readText,
} from '../../shared/protocol/frame.ts';
import type { LayerStep } from '../../shared/protocol/layer-step.ts';
import { ExpertFailedError, PeerLostError, StalePlacementError } from './link.ts';

/**
 * Takes the answer of another host to `step`: copies its share `[T, H]` into `output`.
 *
 * @throws StalePlacementError, PeerLostError or ExpertFailedError when the host answered with one of them, or with a share
 *   of another size
 */
export function acceptAnswer(
  host: string,
  step: LayerStep,
  header: FrameHeader,
  frame: Buffer,
  output: Float32Array,
): void {
  switch (header.kind) {
    case FrameKind.stale:
      throw new StalePlacementError(host, step.placementVersion, header.placementVersion);
    case FrameKind.lost:
      throw new PeerLostError(host, readText(frame), header.only === ALL_INSTANCES ? null : header.only);
    case FrameKind.failed:
      throw new ExpertFailedError(host, readText(frame));
  }
  if (header.rows !== step.rows) {
    throw new ExpertFailedError(
      host,
      `Expert host ${host} answered ${header.rows} rows to a layer step of ${step.rows}.`,
    );
  }
  const bytes = frame.byteLength - FRAME_HEADER_BYTES;
  new Uint8Array(output.buffer, output.byteOffset, bytes).set(frame.subarray(FRAME_HEADER_BYTES));
}
