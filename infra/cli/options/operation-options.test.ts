import { Command } from 'commander';
import { expect, it } from 'vitest';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { addOperationOptions, type OperationFlags, toOperationSettings } from './operation-options.ts';

const settings = (...args: string[]) =>
  toOperationSettings(
    addOperationOptions(new Command('gateway'), 5).parse(args, { from: 'user' }).opts<OperationFlags>(),
  );

it('bounds the predicted time to the first token where --max-ttft says so', () => {
  expect(settings()).toMatchObject({ firstTokenMs: Number.POSITIVE_INFINITY, drainNoticeMs: 5_000 });
  expect(settings('--max-ttft', '1500')).toMatchObject({ firstTokenMs: 1_500 });
});

it.each(['0', '-1', '1.5', 'soon', '3600001'])('refuses --max-ttft %s by its name', (text) => {
  expect(() => settings(`--max-ttft=${text}`)).toThrow(JanusError);
  expect(() => settings(`--max-ttft=${text}`)).toThrow(/--max-ttft/);
});
