import { JanusError } from '../../../shared/errors/janus-error.ts';
import type { TokenizationQuestion, TokenizationReply } from '../../../shared/protocol/tokenization.ts';
import { invalidRequest } from '../../attention/failure.ts';
import { encodePrompt } from '../../tokenizer/encode-prompt.ts';
import type { ModelTokenizer } from '../../tokenizer/model-tokenizer.ts';

/** Answers as a generation would count: the same text becomes the same ids. What the tokenizer refuses is told as a failure. */
export function answerQuestion(question: TokenizationQuestion, tokenizer: ModelTokenizer): TokenizationReply {
  if (question.kind === 'detokenize') {
    return { kind: 'detokenized', text: tokenizer.decode(question.ids, { skipSpecialTokens: false }) };
  }
  const { prompt, addSpecialTokens, addGenerationPrompt, withTokenTexts } = question;
  try {
    const ids = encodePrompt(prompt, tokenizer, { addSpecialTokens, addGenerationPrompt });
    return { kind: 'tokenized', ids, tokenTexts: withTokenTexts ? tokenizer.tokenTexts(ids) : null };
  } catch (error) {
    if (!(error instanceof JanusError)) throw error;
    return {
      kind: 'failed',
      error: invalidRequest(prompt.kind === 'chat' ? 'messages' : 'prompt', error.message),
    };
  }
}
