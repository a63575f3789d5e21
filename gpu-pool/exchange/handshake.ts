import { z } from 'zod';

/** Version of the frames and of this handshake; both ends must have the same. */
export const EXCHANGE_PROTOCOL = 2;
/** Longest hello or welcome, in bytes. */
export const HANDSHAKE_LIMIT_BYTES = 4_096;

/** First frame of a connection, from the attention side: what it is going to send. */
const helloSchema = z.object({
  protocol: z.number(),
  model: z.string(),
  hiddenSize: z.number(),
  expertsPerToken: z.number(),
  layers: z.number(),
  attention: z.string(),
});
export type Hello = z.infer<typeof helloSchema>;

/** First frame of a connection, from the expert side: that it fits, or why it does not. */
const welcomeSchema = z.union([z.object({ host: z.string() }), z.object({ refused: z.string() })]);
export type Welcome = z.infer<typeof welcomeSchema>;

export const encodeHandshake = (message: Hello | Welcome): Buffer => Buffer.from(JSON.stringify(message));

/** @throws when the frame is not a hello */
export const decodeHello = (frame: Buffer): Hello => helloSchema.parse(JSON.parse(frame.toString()));

/** @throws when the frame is not a welcome */
export const decodeWelcome = (frame: Buffer): Welcome => welcomeSchema.parse(JSON.parse(frame.toString()));

/** What an expert host serves, to be compared with a hello. */
export interface Served {
  readonly model: string;
  readonly hiddenSize: number;
  readonly expertsPerToken: number;
  readonly layers: number;
}

/** Why a connection that begins with `hello` cannot be served; `undefined` when it can. */
export function refusal(hello: Hello, served: Served): string | undefined {
  if (hello.protocol !== EXCHANGE_PROTOCOL) {
    return `it speaks version ${hello.protocol} of the exchange, this host version ${EXCHANGE_PROTOCOL}: run the same Janus`;
  }
  if (hello.model !== served.model) return `it serves model ${hello.model}, this host ${served.model}`;
  for (const name of ['hiddenSize', 'expertsPerToken', 'layers'] as const) {
    if (hello[name] !== served[name]) {
      return `its model ${hello.model} has ${name} ${hello[name]}, this host's ${served[name]}: load the same checkpoint`;
    }
  }
  return undefined;
}
