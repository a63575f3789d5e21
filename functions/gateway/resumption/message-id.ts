import { invalid, shown } from '../errors.ts';

/** Which messages of an answer's stream a client has: all up to some number. */
export interface MessageId {
  readonly requestId: string;
  /** 0: none. */
  readonly messages: number;
}

export const LAST_EVENT_ID = 'Last-Event-ID';

const MESSAGE_ID = /^([A-Za-z0-9]{1,64}):(\d{1,9})$/;

/**
 * The `id:` of a message. Messages are numbered as they are made, from events whose order the token stream fixes, so every
 * gateway gives a message the same id.
 */
export const messageId = ({ requestId, messages }: MessageId): string => `${requestId}:${messages}`;

/** @throws {RequestError} 400 when the header is not the id of a message */
export function parseMessageId(text: string): MessageId {
  const [, requestId, messages] = MESSAGE_ID.exec(text) ?? [];
  if (requestId === undefined) {
    throw invalid(
      LAST_EVENT_ID,
      `Invalid '${LAST_EVENT_ID}': '${shown(text)}' is not the id of a message of ours`,
    );
  }
  return { requestId, messages: Number(messages) };
}
