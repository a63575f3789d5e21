import { expect, it, vi } from 'vitest';
import { endingResponse } from './ending-response.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

it('ends with the last byte, and not before; status and headers stay', async () => {
  const ended = vi.fn();
  const source = Promise.withResolvers<ReadableStreamDefaultController<Uint8Array>>();
  const body = new ReadableStream<Uint8Array>({ start: source.resolve });
  const response = endingResponse(new Response(body, { status: 201, headers: { 'X-One': '1' } }), ended);
  expect([response.status, response.headers.get('x-one')]).toEqual([201, '1']);

  const reader = response.body!.getReader();
  const controller = await source.promise;
  controller.enqueue(bytes('a'));
  expect(await reader.read()).toEqual({ done: false, value: bytes('a') });
  expect(ended).not.toHaveBeenCalled();
  controller.close();
  expect(await reader.read()).toMatchObject({ done: true });
  expect(ended).toHaveBeenCalled();
});

it('ends when the client leaves, once the body has cleaned up, also in the middle of a read', async () => {
  const order: string[] = [];
  const body = new ReadableStream<Uint8Array>({
    async cancel(reason) {
      await Promise.resolve();
      order.push(`cancelled: ${reason}`);
    },
  });
  const reader = endingResponse(new Response(body), () => order.push('ended')).body!.getReader();
  const reading = reader.read();
  await reader.cancel('gone');
  expect((await reading).done).toBe(true);
  expect(order).toEqual(['cancelled: gone', 'ended']);
});

it('ends when the body breaks, which the client gets to know', async () => {
  const ended = vi.fn();
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.error(new Error('broken'));
    },
  });
  await expect(endingResponse(new Response(body), ended).text()).rejects.toThrow('broken');
  expect(ended).toHaveBeenCalled();
});

it('ends at once where there is no body, and asks for no more than is taken', async () => {
  const ended = vi.fn();
  expect(endingResponse(new Response(null, { status: 204 }), ended).status).toBe(204);
  expect(ended).toHaveBeenCalled();

  const pull = vi.fn();
  const response = endingResponse(new Response(new ReadableStream({ pull }, { highWaterMark: 0 })), () => {});
  await Promise.resolve();
  expect(pull).not.toHaveBeenCalled();
  await response.body!.cancel();
});
