import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { MODEL, type Pace, paceText } from './pace.ts';

/** A stream of one client. */
export interface Client {
  /** Of each token, when it was made and when it was here, in Unix ms, one after the other. */
  readonly times: readonly number[];
  /** Resolves at the end of the answer. */
  readonly ended: Promise<void>;
  /** Takes nothing more, but stays. */
  readonly stall: () => void;
  readonly hangUp: () => void;
}

const agent = new Agent({ keepAlive: false, maxSockets: Number.POSITIVE_INFINITY });
const TEXT = '"text":"';

/** Opens one stream at the gateway; resolves when its headers are there. */
export async function openStream(url: string, pace: Pace): Promise<Client> {
  const body = JSON.stringify({
    model: MODEL,
    prompt: paceText(pace),
    max_tokens: pace.tokens,
    stream: true,
  });
  const call = request(`${url}/v1/completions`, {
    method: 'POST',
    agent,
    headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) },
  });
  call.end(body);
  const [response] = (await once(call, 'response')) as [IncomingMessage];
  if (response.statusCode !== 200) throw new Error(`The gateway answered ${response.statusCode}.`);
  const times: number[] = [];
  const ended = new Promise<void>((resolve) => {
    response.once('close', resolve);
  });
  // An event is one write of the gateway's, so none is cut in two here; if one were, its token would be missing below.
  response.setEncoding('latin1').on('data', (text: string) => {
    const nowMs = performance.timeOrigin + performance.now();
    for (let at = text.indexOf(TEXT); at >= 0; at = text.indexOf(TEXT, at + 1)) {
      const from = at + TEXT.length;
      times.push(Number(text.slice(from, text.indexOf(' ', from))), nowMs);
    }
  });
  response.on('error', () => {});
  call.on('error', () => {});
  return {
    times,
    ended,
    stall: () => response.pause(),
    hangUp: () => call.destroy(),
  };
}

/** Opens many streams, a few at a time, as clients come. */
export async function openStreams(url: string, pace: Pace, count: number, atOnce = 50): Promise<Client[]> {
  const clients: Client[] = [];
  while (clients.length < count) {
    const batch = Array.from({ length: Math.min(atOnce, count - clients.length) }, () =>
      openStream(url, pace),
    );
    clients.push(...(await Promise.all(batch)));
  }
  return clients;
}
