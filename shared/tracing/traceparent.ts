/** Place of a span among all spans of all traces. */
export interface SpanPlace {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits. */
  readonly spanId: string;
  readonly isSampled: boolean;
}

/** `traceparent` of W3C Trace Context; versions above the first may have more parts. */
const TRACEPARENT =
  /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$/;
const SAMPLED_FLAG = 1;

/** @returns null where the text is no `traceparent` */
export function parseTraceparent(text: string): SpanPlace | null {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(text) ?? [];
  if (traceId === undefined || spanId === undefined) return null;
  return { traceId, spanId, isSampled: (Number.parseInt(flags!, 16) & SAMPLED_FLAG) !== 0 };
}

export const formatTraceparent = ({ traceId, spanId, isSampled }: SpanPlace): string =>
  `00-${traceId}-${spanId}-0${isSampled ? SAMPLED_FLAG : 0}`;
