import type { Event, World } from './world.ts';

/** What `setTimeout` and its like return: as much of Node's timer as our code asks for. */
class VirtualTimer {
  event: Event | undefined;

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}

const NAMES = ['setTimeout', 'setInterval', 'setImmediate', 'clearTimeout', 'clearInterval'] as const;

/**
 * Gives timers and clocks of the running program to a world, so that code which knows nothing of it lives in virtual time. Timers
 * belong to the process whose code sets them, and clocks are off by its skew.
 *
 * @returns gives them back
 */
export function installVirtualTime(world: World): () => void {
  const clear = (timer?: VirtualTimer): void => {
    if (timer?.event !== undefined) timer.event.isCancelled = true;
  };
  const later = (run: (...args: unknown[]) => void, ms = 0, ...args: unknown[]): VirtualTimer => {
    const timer = new VirtualTimer();
    timer.event = world.after(ms, world.current, () => run(...args));
    return timer;
  };
  const repeatedly = (run: (...args: unknown[]) => void, ms = 0, ...args: unknown[]): VirtualTimer => {
    const timer = new VirtualTimer();
    const owner = world.current;
    const again = (): void => {
      timer.event = world.after(ms, owner, again);
      run(...args);
    };
    timer.event = world.after(ms, owner, again);
    return timer;
  };
  const soon = (run: (...args: unknown[]) => void, ...args: unknown[]): VirtualTimer =>
    later(run, 0, ...args);
  const own = [later, repeatedly, soon, clear, clear];
  const before = NAMES.map((name) => globalThis[name]);
  const clocks = { date: Date.now, performance: performance.now };
  Object.assign(globalThis, Object.fromEntries(NAMES.map((name, i) => [name, own[i]])));
  Date.now = () => Math.floor(world.nowMs + world.current.skewMs);
  performance.now = () => world.nowMs;
  return () => {
    Object.assign(globalThis, Object.fromEntries(NAMES.map((name, i) => [name, before[i]])));
    Date.now = clocks.date;
    performance.now = clocks.performance;
  };
}
