import type { Automaton, TextState } from '../../../shared/constrained/automaton.ts';

const CLOSING = ['"', '}', ']'].map((character) => character.charCodeAt(0));
const [QUOTE] = CLOSING;
/** Where so many bytes may follow, they are characters of a string, brackets among them. */
const MANY = 40;
const NESTING = ['{', '[', '\\'].map((character) => character.charCodeAt(0));

/**
 * A text of bytes that were each allowed, picked by `random` in [0, 1); from `patience` bytes on those are taken
 * that end it.
 */
export function randomText(automaton: Automaton, random: () => number, patience: number): string {
  const bytes: number[] = [];
  let state: TextState = automaton.start;
  for (;;) {
    const allowed = automaton.allowedBytes(state);
    if (state.complete && (allowed.length === 0 || bytes.length >= patience || random() < 0.2)) break;
    if (allowed.length === 0) throw new Error(`Nothing can follow ${JSON.stringify(bytes)}.`);
    const byte = pick(bytes.length < patience ? allowed : ending(allowed), random);
    bytes.push(byte);
    state = automaton.next(state, byte)!;
  }
  return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
}

const pick = <T>(from: readonly T[], random: () => number): T => from[Math.floor(random() * from.length)]!;

/** Those that close what is open, else those that open nothing more, where there are any. */
function ending(allowed: readonly number[]): readonly number[] {
  const isInString = allowed.length > MANY;
  const closing = allowed.filter((byte) => (isInString ? byte === QUOTE : CLOSING.includes(byte)));
  if (closing.length > 0) return closing;
  const flat = allowed.filter((byte) => !NESTING.includes(byte));
  return flat.length > 0 ? flat : allowed;
}

/** Whether an automaton takes a text as a whole. */
export const accepts = (automaton: Automaton, text: string): boolean =>
  automaton.read(automaton.start, new TextEncoder().encode(text))?.complete ?? false;
