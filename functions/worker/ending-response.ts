/**
 * A response that tells when nothing of it is left to send: its body was sent to the end, broke, or is not wanted any more.
 *
 * @param ended called once, or more often
 */
export function endingResponse(response: Response, ended: () => void): Response {
  if (response.body === null) {
    ended();
    return response;
  }
  const reader = response.body.getReader();
  let isCancelled = false;
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (isCancelled) return;
          if (!done) {
            controller.enqueue(value);
            return;
          }
          controller.close();
          ended();
        } catch (error) {
          ended();
          throw error;
        }
      },
      async cancel(reason) {
        isCancelled = true;
        try {
          await reader.cancel(reason);
        } finally {
          ended();
        }
      },
    },
    // It asks for no more than the client takes, as the body itself.
    { highWaterMark: 0 },
  );
  return new Response(body, response);
}
