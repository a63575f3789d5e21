import type { Phase } from '../../../gpu-pool/attention/phase-times.ts';
import type { HostRecord, TrafficRecord } from '../../../shared/protocol/member.ts';

/** What a host said of itself at the beginning and at the end of a time in which it only decoded. */
export interface RecordSpan {
  readonly before: HostRecord;
  readonly after: HostRecord;
}

/** One part of a step, and what it consists of, in the order of time. */
export interface Part {
  readonly name: string;
  readonly ms: number;
  readonly parts: readonly Part[];
}

/** A thread that computes groups of rows of one expert. */
export interface ExpertThread {
  readonly thread: string;
  readonly groupsPerLayerStep: number;
  readonly usPerGroup: number;
  /** Time with groups per step of the attention instance. */
  readonly msPerStep: number;
}

/** Where the time of a mean step goes. */
export interface StepProfile {
  readonly steps: number;
  readonly layers: number;
  /** On the thread of the attention instance, without a gap: from the end of one step to the end of the next. */
  readonly step: Part;
  /** Expert instances, and last the attention instance that assists them. */
  readonly experts: readonly ExpertThread[];
  /** From the end of a step until Redis has its tokens, beside the next step. */
  readonly storeMs: number;
}

/** Names of the parts that are looked for by others. */
export const EXPERTS = 'experts';
export const LAYERS = 'all layers';

const US_PER_MS = 1_000;

const leaf = (name: string, ms: number): Part => ({ name, ms, parts: [] });
const whole = (name: string, parts: readonly Part[]): Part => ({
  name,
  ms: parts.reduce((sum, part) => sum + part.ms, 0),
  parts,
});

/**
 * The mean step over `spans`, all of one host with one attention instance that reaches its experts in shared memory.
 *
 * @throws Error when the host is another, or did no step
 */
export function profileSteps(spans: readonly RecordSpan[]): StepProfile {
  const spent = (read: (record: HostRecord) => number): number =>
    spans.reduce((sum, { before, after }) => sum + read(after) - read(before), 0);
  const steps = spent((record) => attentionOf(record).steps);
  if (!(steps > 0)) throw new Error('The host did no step while it was watched.');
  const perStep = (read: (record: HostRecord) => number): number => spent(read) / steps;
  const way = (read: (way: TrafficRecord) => number): number => perStep((record) => read(wayOf(record)));
  const phase = (name: Phase | 'store'): number => perStep((record) => attentionOf(record).phasesMs[name]!);
  const layers = way((traffic) => traffic.layerSteps);
  const roundTripMs = way(({ meanRoundTripUs, layerSteps }) => (meanRoundTripUs * layerSteps) / US_PER_MS);
  const [scheduleMs, combineMs, assistMs] = [
    way((traffic) => traffic.scheduleMs),
    way((traffic) => traffic.combineMs),
    way((traffic) => traffic.assistMs),
  ];
  const exchange = whole('exchange', [
    // The exchange looks for the hosts of a step before it hands it to the link, which schedules for its host.
    leaf('choosing hosts', phase('exchange') - roundTripMs),
    leaf('scheduling, grouping', scheduleMs),
    whole(EXPERTS, [
      leaf('assisting', assistMs),
      leaf('waiting', roundTripMs - scheduleMs - combineMs - assistMs),
    ]),
    leaf('combining', combineMs),
  ]);
  const step = whole('step', [
    leaf('between steps', phase('plan')),
    leaf('embed', phase('embed')),
    whole(LAYERS, [
      leaf('pre', phase('pre')),
      leaf('attention', phase('attend')),
      leaf('post', phase('post')),
      exchange,
    ]),
    leaf('LM head', phase('head')),
    leaf('sampling', phase('sample')),
    leaf('publishing events', phase('publish')),
  ]);
  const thread = (name: string, groups: number, groupsMs: number): ExpertThread => ({
    thread: name,
    groupsPerLayerStep: groups / layers,
    usPerGroup: groups === 0 ? 0 : (groupsMs * US_PER_MS) / groups,
    msPerStep: groupsMs,
  });
  const experts = spans[0]!.before.experts.map(({ id }, index) =>
    thread(
      `expert instance ${id}`,
      perStep((record) => record.experts[index]!.groups),
      perStep((record) => record.experts[index]!.groupsMs),
    ),
  );
  const assistant = thread(
    'attention instance, assisting',
    way((traffic) => traffic.assistedGroups),
    assistMs,
  );
  return { steps, layers, step, experts: [...experts, assistant], storeMs: phase('store') };
}

function attentionOf({ host, attention }: HostRecord): HostRecord['attention'][number] {
  if (attention.length === 1) return attention[0]!;
  throw new Error(`Host ${host} has ${attention.length} attention instances; a profile is of one.`);
}

function wayOf({ host, traffic }: HostRecord): TrafficRecord {
  const way = traffic.find(({ kind }) => kind === 'shared-memory');
  if (way !== undefined) return way;
  throw new Error(`Host ${host} does not reach its experts in shared memory.`);
}
