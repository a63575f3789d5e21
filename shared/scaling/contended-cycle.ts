/**
 * Time in which each of several customers goes round once: it thinks for `thinkMs`, then waits for the one server, which takes
 * `serveMs` for each. Here attention instances on hosts of their own are the customers, and the experts are the server, which takes
 * their layer steps one after the other.
 *
 * Source: mean value analysis of a closed network (Reiser and Lavenberg, "Mean-Value Analysis of Closed Multichain Queuing
 * Networks", 1980), with half of a service left where one is under way, since services hardly vary.
 */
export function contendedCycle(customers: number, thinkMs: number, serveMs: number): number {
  let queue = 0;
  let busy = 0;
  let cycleMs = thinkMs + serveMs;
  for (let present = 1; present <= customers; present += 1) {
    const servedMs = serveMs * (1 + Math.max(0, queue - busy / 2));
    // No more than one service at a time, whatever the means say.
    cycleMs = Math.max(thinkMs + servedMs, present * serveMs);
    queue = (present * servedMs) / cycleMs;
    busy = (present * serveMs) / cycleMs;
  }
  return cycleMs;
}
