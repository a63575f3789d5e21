/** Threads of the one workgroup that schedules a step. */
export const THREADS = 256;
/** Bits of an instance id in the shader's key (load, instance): half of it, and more than workgroup memory has room for. */
export const INSTANCE_BITS = 16;

/** Words of a step's record: where its layout and its pairs begin, and the number of pairs. */
export const STEP_WORDS = 3;
/** Words that a layout starts with: experts, instances, experts without a replica, experts with at most one. */
export const LAYOUT_HEAD_WORDS = 4;
/** Words that a result starts with: fault, activated experts, a_max. */
export const RESULT_HEAD_WORDS = 3;

/** Words of workgroup memory besides those for each expert and instance. */
export const WORKGROUP_SCALARS = 4;

/** Values of a result's first word. */
export const Fault = { none: 0, unknownExpert: 1, noReplica: 2 } as const;

/**
 * AEBS as a WGSL compute shader, one workgroup per layer step. It gives what `AebsScheduler` gives, bit for bit.
 *
 * 1. All threads mark the activated experts.
 * 2. Experts with a single replica come first in AEBS's order and have no choice: all threads add them to the loads at once.
 * 3. The others are assigned one after the other, as the algorithm demands. The threads look at the hosts of one expert
 *    at the same time and find the least (load, instance), packed into one number, by an atomic minimum in workgroup memory.
 * 4. All threads look up the instance of each pair.
 *
 * `instanceOf` and `load` are atomics, since threads write the same words at the same time in 1 and 2.
 */
export const AEBS_SHADER = /* wgsl */ `
override EXPERTS: u32;
override INSTANCES: u32;

const NOT_ACTIVATED = -1;
const UNASSIGNED = -2;
const NONE = 0xffffffffu;

struct Step {
  layoutStart: u32,
  firstPair: u32,
  pairs: u32,
}

@group(0) @binding(0) var<storage, read> steps: array<Step>;
// Per layout: head, host offsets [E + 1], order [E], host instances [replicas in all].
@group(0) @binding(1) var<storage, read> layouts: array<i32>;
@group(0) @binding(2) var<storage, read> expertIds: array<i32>;
// Per step: head, load [INSTANCES], instance of each expert [EXPERTS].
@group(0) @binding(3) var<storage, read_write> results: array<i32>;
@group(0) @binding(4) var<storage, read_write> instanceOfPair: array<i32>;

var<workgroup> instanceOf: array<atomic<i32>, EXPERTS>;
var<workgroup> load: array<atomic<u32>, INSTANCES>;
var<workgroup> best: atomic<u32>;
var<workgroup> activated: atomic<u32>;
var<workgroup> aMax: atomic<u32>;
var<workgroup> fault: atomic<u32>;

fn isActivated(expert: i32) -> bool {
  return atomicLoad(&instanceOf[expert]) != NOT_ACTIVATED;
}

fn give(expert: i32, instance: i32) {
  atomicStore(&instanceOf[expert], instance);
  atomicAdd(&load[instance], 1u);
  atomicAdd(&activated, 1u);
}

@compute @workgroup_size(${THREADS})
fn schedule(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let step = steps[workgroup.x];
  let experts = layouts[step.layoutStart];
  let instances = layouts[step.layoutStart + 1u];
  let withoutReplica = layouts[step.layoutStart + 2u];
  let withoutChoice = layouts[step.layoutStart + 3u];
  let offsets = step.layoutStart + ${LAYOUT_HEAD_WORDS}u;
  let order = offsets + u32(experts) + 1u;
  let hosts = order + u32(experts);

  for (var expert = thread; expert < EXPERTS; expert += ${THREADS}u) {
    atomicStore(&instanceOf[expert], NOT_ACTIVATED);
  }
  for (var instance = thread; instance < INSTANCES; instance += ${THREADS}u) {
    atomicStore(&load[instance], 0u);
  }
  if (thread == 0u) {
    atomicStore(&best, NONE);
    atomicStore(&activated, 0u);
    atomicStore(&aMax, 0u);
    atomicStore(&fault, ${Fault.none}u);
  }
  workgroupBarrier();

  for (var pair = thread; pair < step.pairs; pair += ${THREADS}u) {
    let expert = expertIds[step.firstPair + pair];
    if (expert >= 0 && expert < experts) {
      atomicStore(&instanceOf[expert], UNASSIGNED);
    } else {
      atomicStore(&fault, ${Fault.unknownExpert}u);
    }
  }
  workgroupBarrier();

  for (var position = i32(thread); position < withoutChoice; position += ${THREADS}) {
    let expert = layouts[order + u32(position)];
    if (!isActivated(expert)) {
      continue;
    }
    if (position < withoutReplica) {
      atomicMax(&fault, ${Fault.noReplica}u);
    } else {
      give(expert, layouts[hosts + u32(layouts[offsets + u32(expert)])]);
    }
  }
  workgroupBarrier();

  for (var position = withoutChoice; position < experts; position += 1) {
    let expert = layouts[order + u32(position)];
    if (isActivated(expert)) {
      let end = u32(layouts[offsets + u32(expert) + 1u]);
      for (var host = u32(layouts[offsets + u32(expert)]) + thread; host < end; host += ${THREADS}u) {
        let instance = layouts[hosts + host];
        atomicMin(&best, (atomicLoad(&load[instance]) << ${INSTANCE_BITS}u) | u32(instance));
      }
    }
    workgroupBarrier();
    if (thread == 0u) {
      let least = atomicExchange(&best, NONE);
      if (least != NONE) {
        give(expert, i32(least & ${(1 << INSTANCE_BITS) - 1}u));
      }
    }
    workgroupBarrier();
  }

  let result = workgroup.x * (${RESULT_HEAD_WORDS}u + INSTANCES + EXPERTS);
  for (var instance = thread; instance < INSTANCES; instance += ${THREADS}u) {
    let experts = atomicLoad(&load[instance]);
    atomicMax(&aMax, experts);
    results[result + ${RESULT_HEAD_WORDS}u + instance] = i32(experts);
  }
  for (var expert = thread; expert < EXPERTS; expert += ${THREADS}u) {
    results[result + ${RESULT_HEAD_WORDS}u + INSTANCES + expert] = atomicLoad(&instanceOf[expert]);
  }
  for (var pair = thread; pair < step.pairs; pair += ${THREADS}u) {
    let expert = expertIds[step.firstPair + pair];
    if (expert >= 0 && expert < experts) {
      instanceOfPair[step.firstPair + pair] = atomicLoad(&instanceOf[expert]);
    }
  }
  workgroupBarrier();
  if (thread == 0u) {
    results[result] = i32(atomicLoad(&fault));
    results[result + 1u] = i32(atomicLoad(&activated));
    results[result + 2u] = i32(atomicLoad(&aMax));
  }
}
`;
