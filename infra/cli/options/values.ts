import { JanusError } from '../../../shared/errors/janus-error.ts';

/** Parser of an option that takes a whole number from `least` to `most`. @throws JanusError naming the flag */
export const wholeNumber =
  (flag: string, least: number, most: number) =>
  (text: string): number =>
    parseWholeNumber(flag, least, most, text, 'a');

/** Parser of an option that takes `auto` or a whole number from `least` to `most`. @throws JanusError naming the flag */
export const autoOrWholeNumber =
  (flag: string, least: number, most: number) =>
  (text: string): number | 'auto' =>
    text === 'auto' ? text : parseWholeNumber(flag, least, most, text, 'auto or a');

function parseWholeNumber(flag: string, least: number, most: number, text: string, article: string): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new JanusError(
    `${flag} is ${JSON.stringify(text)}; give ${article} whole number from ${least} to ${most}.`,
  );
}

/** Parser of an option that takes one of a few words. @throws JanusError naming the flag */
export const oneOf =
  <Word extends string>(flag: string, words: readonly Word[]) =>
  (text: string): Word => {
    const found = words.find((word) => word === text);
    if (found !== undefined) return found;
    throw new JanusError(`${flag} is ${JSON.stringify(text)}; give one of ${words.join(', ')}.`);
  };

/** Parser of an option whose value may be any text but an empty one. @throws JanusError naming the flag */
export const notEmpty =
  (flag: string, example: string) =>
  (text: string): string => {
    if (text.trim() !== '') return text;
    throw new JanusError(`${flag} is empty; give for example ${example}.`);
  };
