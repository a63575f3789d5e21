import type { Outcome } from './simulate.ts';
import { START_MS } from './world.ts';

/** What went wrong in a run, and how to see it again. */
export function describeFailure({ seed, violation, faults, events }: Outcome): string {
  const { rule, detail, atMs } = violation!;
  const happened = faults.map(({ kind, atMs: at }) => `  ${(at / 1_000).toFixed(2)} s  ${kind}`);
  return [
    `Seed ${seed} breaks the rule "${rule}" at ${((atMs - START_MS) / 1_000).toFixed(2)} s, after ${events} events:`,
    `  ${detail}`,
    'What went wrong on purpose:',
    ...happened,
    `Run it again: npm run sim:chaos -- --seed ${seed}`,
  ].join('\n');
}

export function describeSummary(outcomes: readonly Outcome[], tookMs: number): string {
  const sum = (count: (outcome: Outcome) => number): number =>
    outcomes.reduce((all, each) => all + count(each), 0);
  const broken = outcomes.filter(({ violation }) => violation !== null).map(({ seed }) => seed);
  const events = sum((each) => each.events);
  return [
    `${outcomes.length} seeds in ${(tookMs / 1_000).toFixed(1)} s: ${events} events over ${Math.round(sum((each) => each.virtualMs) / 60_000)} virtual minutes`,
    `${sum(({ seen }) => seen.placements)} placements came in force, ${sum(({ seen }) => seen.flips)} of them without a pause; ${sum(({ seen }) => seen.rounds)} rounds of scalers changed the sizes ${sum(({ seen }) => seen.sizes)} times; ${sum(({ seen }) => seen.takeovers)} jobs were taken over`,
    `requests: ${sum((each) => each.requests.finished)} finished, ${sum((each) => each.requests.failed)} failed with a declared reason, ${sum((each) => each.requests.dropped)} lost their gateway`,
    broken.length === 0 ? 'no rule was broken' : `${broken.length} seeds broke a rule: ${broken.join(', ')}`,
  ].join('\n');
}
