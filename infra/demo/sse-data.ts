/** An event of our gateway holds one piece of text or one usage object; this is far beyond either. */
const MAX_EVENT_CHARACTERS = 1024 * 1024;
const DATA = 'data: ';

/**
 * The `data` of each server-sent event, as soon as the event is complete. Events hold one `data` line, as those of the gateway
 * do; comments are skipped.
 *
 * @throws Error when an event is longer than any that the gateway sends
 */
export async function* sseData(body: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let begun = '';
  for await (const text of body.pipeThrough(new TextDecoderStream())) {
    const events = (begun + text).split('\n\n');
    begun = events.pop()!;
    if (begun.length > MAX_EVENT_CHARACTERS) {
      throw new Error(`A server-sent event has more than ${MAX_EVENT_CHARACTERS} characters.`);
    }
    for (const event of events) {
      if (event.startsWith(DATA)) yield event.slice(DATA.length);
    }
  }
}
