import type { LlamaLibrary, LlamaModel } from './library.ts';
import { PeerContext } from './peer-context.ts';
import type { PeerAnswer, PeerCommand, PeerMode } from './protocol.ts';

/** Process of the peer: carries out one command after the other, and waits without spinning in between. */
const contexts = new Map<PeerMode, PeerContext>();
let model: LlamaModel | undefined;
let threads = 1;

function contextOf(mode: PeerMode): PeerContext {
  const context = contexts.get(mode);
  if (context === undefined) throw new Error(`No context is open in mode ${mode}.`);
  return context;
}

async function load(command: Extract<PeerCommand, { name: 'load' }>): Promise<{ loadMs: number }> {
  const startedAtMs = performance.now();
  threads = command.threads;
  const library = (await import(command.moduleUrl)) as LlamaLibrary;
  const llama = await library.getLlama({
    build: 'never',
    gpu: false,
    maxThreads: threads,
    logLevel: 'error',
  });
  model = await llama.loadModel({ modelPath: command.modelPath });
  return { loadMs: performance.now() - startedAtMs };
}

async function carryOut(command: PeerCommand): Promise<unknown> {
  switch (command.name) {
    case 'load':
      return load(command);
    case 'open': {
      if (model === undefined) throw new Error('No model is loaded.');
      const { mode, sequences, contextSize } = command;
      contexts.set(mode, await PeerContext.open(model, mode, { sequences, contextSize, threads }));
      return null;
    }
    case 'close':
      await contextOf(command.mode).close();
      contexts.delete(command.mode);
      return null;
    case 'prefill':
      return { firstTokenMs: await contextOf(command.mode).prefill(command.prompt) };
    case 'prepare':
      await contextOf(command.mode).prepare(command.prompts);
      return null;
    case 'decode':
      return { timesMs: await contextOf(command.mode).decode(command.feeds) };
    case 'predict':
      return { next: await contextOf(command.mode).predict(command.tokens, command.from) };
  }
}

process.on('message', async (command: PeerCommand) => {
  let answer: PeerAnswer;
  try {
    answer = { result: await carryOut(command) };
  } catch (error) {
    answer = { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
  process.send!(answer);
});
process.once('disconnect', () => process.exit());
