import type { AnswerEvent } from '../../functions/gateway/generation/journal.ts';
import { schedulerOf } from '../../shared/scheduler/create-scheduler.ts';
import type { Parts } from './bed.ts';
import type { Rule } from './checks.ts';
import { mix } from './simulated-model.ts';

/** A wrong version of a part of our code, and the rule that it breaks. */
export interface PlantedBug {
  readonly parts: Partial<Parts>;
  readonly rule: Rule;
}

/** Leaves parts of a script out. @throws when one of them is not in the script that has to have it */
const without =
  (name: string, ...parts: readonly string[]): Parts['script'] =>
  (script) => {
    if (!script.includes(name)) return script;
    return parts.reduce((text, part) => {
      if (!text.includes(part)) throw new Error(`No script has "${part}" any more: plant the bug anew`);
      return text.replace(part, '');
    }, script);
  };

/** Defects of the kind that nobody sees in a test of one process: the simulation has to find each of them. */
export const PLANTED_BUGS = {
  'a scaler does not compare versions': {
    parts: {
      script: without("redis.call('LPUSH', KEYS[3]", 'if version ~= tonumber(ARGV[1]) then return 0 end'),
    },
    rule: 'wanted sizes follow one history, one change at a time',
  },
  'whoever publishes a placement does not compare versions': {
    parts: { script: without('return ARGV[1]\n', 'if version ~= tonumber(ARGV[2]) then return held end') },
    rule: 'versions never go back, and name one table each',
  },
  'a flip is applied twice': {
    parts: {
      script: without(
        'SISMEMBER',
        'if version == tonumber(ARGV[1]) then return 1 end',
        ' or tonumber(wanted[2]) ~= version',
        "redis.call('DEL', KEYS[3], KEYS[4])",
      ),
    },
    rule: 'versions never go back, and name one table each',
  },
  'a token that is told twice is taken twice': {
    parts: { createJournal: createCredulousJournal },
    rule: 'a client gets every token once, and the right ones',
  },
  'an acknowledgement is lost': {
    parts: { acknowledge: async () => true },
    rule: 'a placement that is wanted comes in force or is given up',
  },
  'a flip is lost on an attention host': {
    parts: { place: () => {} },
    rule: 'a placement that is wanted comes in force or is given up',
  },
  'hosts break ties each in its own way': {
    parts: { createScheduler: createWilfulScheduler },
    rule: 'every host computes the same assignment of a step',
  },
} as const satisfies Readonly<Record<string, PlantedBug>>;

/** Takes events as they come. */
function createCredulousJournal(): ReturnType<Parts['createJournal']> {
  let isDone = false;
  return {
    read(events) {
      const news = events.filter((event): event is AnswerEvent => event.kind !== 'failed');
      isDone ||= news.some(({ kind }) => kind === 'finished');
      return { events: news, failure: null };
    },
    done: () => isDone,
    usage: () => {
      throw new Error('Nobody asks for it here');
    },
  };
}

/** Schedules as if the layers' instances stood in an order that every host chooses for itself. */
function createWilfulScheduler(...[placement, limits, host]: Parameters<Parts['createScheduler']>) {
  const scheduler = schedulerOf(placement, limits);
  const isContrary = mix(...[...host].map((character) => character.charCodeAt(0))) % 2 === 1;
  const { schedule } = scheduler;
  if (isContrary) {
    scheduler.schedule = (index, ...routing) => {
      const hostInstances = index.hostInstances.slice();
      for (let expert = 0; expert < index.experts; expert += 1) {
        hostInstances.subarray(index.hostOffsets[expert], index.hostOffsets[expert + 1]).reverse();
      }
      schedule.call(scheduler, { ...index, hostInstances }, ...routing);
    };
  }
  return scheduler;
}
