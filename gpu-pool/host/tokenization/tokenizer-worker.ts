import { parentPort, workerData } from 'node:worker_threads';
import type { TokenizationQuestion } from '../../../shared/protocol/tokenization.ts';
import { loadTokenizer } from '../../tokenizer/load-tokenizer.ts';
import { answerQuestion } from './answer-question.ts';
import type { TokenizerSource } from './tokenizer-thread.ts';

/** Thread of a tokenizer: answers each question with the JSON of its reply. */
const { folder, vocabularySize } = workerData as TokenizerSource;
const port = parentPort!;
const tokenizer = loadTokenizer(folder, vocabularySize);

port.on('message', (question: TokenizationQuestion) => {
  port.postMessage(JSON.stringify(answerQuestion(question, tokenizer)));
});
