import fs from 'node:fs';

/** What a model folder may hold beside its weights and a host reads, or a licence demands to go along. */
const COPIED = [
  /^config\.json$/,
  /^generation_config\.json$/,
  /^tokenizer\.json$/,
  /^tokenizer_config\.json$/,
  /^special_tokens_map\.json$/,
  /^chat_template\.jinja$/,
  /^([\w.-]*[-_.])?(licen[cs]e|notice)(\.(txt|md))?$/i,
];

/** Names of the files of a checkpoint's folder that its packed model holds as they are, in alphabetical order. */
export function copiedFiles(folder: string): string[] {
  return fs
    .readdirSync(folder)
    .filter((name) => COPIED.some((pattern) => pattern.test(name)))
    .sort();
}
