import golden from '../golden/dictionary-moe.json' with { type: 'json' };

/** The answer of the shipped model to `question`, as the independent reference gave it. */
export function goldenAnswer(question: string): string {
  const found = golden.cases.find((known) => known.question === question && known.finished);
  if (found === undefined) throw new Error(`test/golden/dictionary-moe.json has no answer to ${question}`);
  return found.text;
}
