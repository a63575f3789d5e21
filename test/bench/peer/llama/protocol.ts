/**
 * How a context of the peer batches:
 * * `asItComes`: with the library's defaults; every sequence goes on as soon as its token is there.
 * * `tuned`: llama.cpp splits a batch at every change of the order of its sequences, so batches are sorted by sequence; and
 *   all sequences step together, so that no batch lacks one.
 */
export type PeerMode = 'asItComes' | 'tuned';

/** What the process of the peer is told. Each command is answered with its result before the next one is sent. */
export interface PeerCommands {
  load: {
    command: { readonly moduleUrl: string; readonly modelPath: string; readonly threads: number };
    result: { readonly loadMs: number };
  };
  /** Opens the context of one mode. */
  open: {
    command: { readonly mode: PeerMode; readonly sequences: number; readonly contextSize: number };
    result: null;
  };
  close: { command: { readonly mode: PeerMode }; result: null };
  /** From an empty cache to the first token of one prompt. */
  prefill: {
    command: { readonly mode: PeerMode; readonly prompt: readonly number[] };
    result: { readonly firstTokenMs: number };
  };
  /** Fills the caches with one prompt per sequence, of which `decode` then starts as often as it is told. */
  prepare: {
    command: { readonly mode: PeerMode; readonly prompts: readonly (readonly number[])[] };
    result: null;
  };
  /**
   * Decodes `feeds[s].length` tokens after the prompt of each sequence s. Each token is computed and sampled greedily, and then
   * the next of `feeds[s]` is fed instead of it.
   */
  decode: {
    command: { readonly mode: PeerMode; readonly feeds: readonly (readonly number[])[] };
    /** When each sequence got its tokens, in ms from the start. */
    result: { readonly timesMs: readonly (readonly number[])[] };
  };
  /** The greedy next token after each of the tokens from position `from` on. */
  predict: {
    command: { readonly mode: PeerMode; readonly tokens: readonly number[]; readonly from: number };
    result: { readonly next: readonly number[] };
  };
}

export type PeerCommandName = keyof PeerCommands;

export type PeerCommand = {
  [Name in PeerCommandName]: { readonly name: Name } & PeerCommands[Name]['command'];
}[PeerCommandName];

export type PeerAnswer = { readonly result: unknown } | { readonly error: string };
