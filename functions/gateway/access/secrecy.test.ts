import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MODEL } from '../../../test/support/gateway/bed.ts';
import { bearing, createKeyedBed, type KeyedBed } from '../../../test/support/gateway/keyed-bed.ts';
import { answer } from '../../../test/support/gateway/scripted-pool.ts';
import { parseKey } from './key-text.ts';

const SECRET_PROMPT = 'the-heron-flies-at-midnight';

const lines: string[] = [];
let bed: KeyedBed;
beforeAll(async () => {
  bed = await createKeyedBed({ log: pino({ level: 'trace' }, { write: (line) => void lines.push(line) }) });
});
afterAll(() => bed.close());

test('neither the log nor the metrics hold a key, a prompt or an answer', async () => {
  const key = await bed.makeKey({ requestsPerMinute: 3 });
  const admin = await bed.makeKey({ class: 'admin' });
  const messages = [{ role: 'user', content: SECRET_PROMPT }];
  const wrong = `sk-janus-${'1'.repeat(16)}-${'2'.repeat(64)}`;
  bed.pool.play(({ choice }, emit) => emit(...answer(choice, [`${SECRET_PROMPT} is the answer`])));
  expect((await bed.ask(key, { messages })).status).toBe(200);
  expect((await bed.ask(wrong, { messages })).status).toBe(401);
  expect((await bed.ask(key, { messages, temperature: 9 })).status).toBe(400);
  // A hole in the journal is a defect, which is reported.
  bed.pool.play(({ choice }, emit) => emit(answer(choice, [])[0], answer(choice, ['a', SECRET_PROMPT])[2]));
  expect((await bed.ask(key, { messages })).status).toBe(500);
  expect((await bed.ask(key, { messages, stream: true })).status).toBe(500);
  expect((await bed.ask(key, { messages })).status).toBe(429);
  const metrics = await (await bed.get('/metrics', bearing(admin))).text();
  const told = lines.join('\n');
  expect(told).toContain('lacks token 0');
  expect(metrics).toContain(MODEL);
  for (const secret of [key, admin, wrong, SECRET_PROMPT].map((text) => parseKey(text)?.secret ?? text)) {
    expect(told).not.toContain(secret);
    expect(metrics).not.toContain(secret);
  }
});
