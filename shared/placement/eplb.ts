import { JanusError } from '../errors/janus-error.ts';
import type { Layout } from '../scheduler/layout.ts';

/** What EPLB balances over, for one layer. */
export interface EplbOptions {
  /** Physical experts in all: slots of all GPUs together. */
  readonly replicas: number;
  /** Groups of neighbouring logical experts that stay on one node. */
  readonly groups: number;
  readonly nodes: number;
  readonly gpus: number;
}

export interface EplbResult {
  /** [replicas]: logical expert of each physical one; GPU g has the range of length replicas / gpus that begins at g times it. */
  readonly physicalToLogical: Int32Array;
  /** [E]: physical experts of each logical one. */
  readonly logicalCount: Int32Array;
}

/** Which pack each item went to, and how many were there before it. */
interface Packing {
  readonly pack: Int32Array;
  readonly rank: Int32Array;
}

/**
 * The DeepSeek Expert-Parallelism Load Balancer, the usual choice today and our baseline. It balances tokens: hot experts
 * get replicas, and replicas are packed so that GPUs get equal loads. The hierarchical policy applies where the groups
 * divide evenly among the nodes: groups are packed to nodes first and replicated inside them. Else the policy is global.
 *
 * Source: https://github.com/deepseek-ai/EPLB (MIT licence), with its float32 arithmetic and a stable sort.
 *
 * @param loads [E]: tokens routed to each logical expert.
 * @throws JanusError when the numbers do not divide as the algorithm needs it.
 */
export function balanceExperts(loads: ArrayLike<number>, options: EplbOptions): EplbResult {
  const hierarchical = options.groups % options.nodes === 0;
  const { replicas, gpus } = options;
  const groups = hierarchical ? options.groups : 1;
  const nodes = hierarchical ? options.nodes : 1;
  const experts = loads.length;
  checkDivides('groups', groups, 'experts', experts);
  checkDivides('gpus', gpus, 'replicas', replicas);
  checkDivides('nodes', nodes, 'gpus', gpus);
  if (replicas < experts) {
    throw new JanusError(
      `replicas is ${replicas}, fewer than the ${experts} experts; give each at least one slot`,
    );
  }
  const nodeOrder = expertsByNode(loads, groups, nodes);
  const physicalToLogical = new Int32Array(replicas);
  const logicalCount = new Int32Array(experts);
  const expertsPerNode = experts / nodes;
  const replicasPerNode = replicas / nodes;
  for (let node = 0; node < nodes; node += 1) {
    const onNode = nodeOrder.subarray(node * expertsPerNode, (node + 1) * expertsPerNode);
    const nodeLoads = Float32Array.from(onNode, (expert) => loads[expert]);
    const { expertOf, counts } = replicate(nodeLoads, replicasPerNode);
    for (const [expert, count] of counts.entries()) logicalCount[onNode[expert]] = count;
    const replicaLoads = Float32Array.from(expertOf, (expert) => nodeLoads[expert] / counts[expert]);
    const { pack, rank } = packEvenly(replicaLoads, gpus / nodes);
    for (const [replica, expert] of expertOf.entries()) {
      const slot = pack[replica] * (replicas / gpus) + rank[replica];
      physicalToLogical[node * replicasPerNode + slot] = onNode[expert];
    }
  }
  return { physicalToLogical, logicalCount };
}

/**
 * EPLB's result as a layout that AEBS can use. EPLB may put two replicas of one expert on one GPU; they count as one here,
 * and the other's slot stays empty, since an expert needs its weights on an instance only once.
 *
 * @param instances n_e, the GPUs that the result was made for.
 */
export function eplbLayout(result: EplbResult, instances: number): Layout {
  const capacity = result.physicalToLogical.length / instances;
  const slots = Array.from({ length: instances }, (_, instance) => {
    const held = result.physicalToLogical.subarray(instance * capacity, (instance + 1) * capacity);
    return [...new Set(held)].sort((a, b) => a - b);
  });
  return { instances, capacity, slots };
}

/** [E]: logical experts, those of each node together, in order of its groups' arrival. */
function expertsByNode(loads: ArrayLike<number>, groups: number, nodes: number): Int32Array {
  const groupSize = loads.length / groups;
  const groupLoads = new Float32Array(groups);
  for (let expert = 0; expert < loads.length; expert += 1) {
    groupLoads[Math.floor(expert / groupSize)] += loads[expert];
  }
  const { pack, rank } = packEvenly(groupLoads, nodes);
  const order = new Int32Array(loads.length);
  for (let expert = 0; expert < loads.length; expert += 1) {
    const group = Math.floor(expert / groupSize);
    const position = pack[group] * (groups / nodes) + rank[group];
    order[position * groupSize + (expert % groupSize)] = expert;
  }
  return order;
}

/** Gives each further slot to the expert with the largest load per replica, ties to the lowest id. */
function replicate(loads: Float32Array, slots: number): { expertOf: Int32Array; counts: Int32Array } {
  const expertOf = Int32Array.from({ length: slots }, (_, slot) => slot);
  const counts = new Int32Array(loads.length).fill(1);
  const perReplica = loads.slice();
  for (let slot = loads.length; slot < slots; slot += 1) {
    let neediest = 0;
    for (let expert = 1; expert < loads.length; expert += 1) {
      if (perReplica[expert] > perReplica[neediest]) neediest = expert;
    }
    expertOf[slot] = neediest;
    counts[neediest] += 1;
    perReplica[neediest] = loads[neediest] / counts[neediest];
  }
  return { expertOf, counts };
}

/** Packs items, heaviest first, each into the lightest pack that is not full; all packs get equally many. */
function packEvenly(weights: Float32Array, packs: number): Packing {
  const items = weights.length;
  const perPack = items / packs;
  if (perPack === 1) {
    return { pack: Int32Array.from(weights.keys()), rank: new Int32Array(items) };
  }
  const pack = new Int32Array(items);
  const rank = new Int32Array(items);
  const packWeights = new Float32Array(packs);
  const packItems = new Int32Array(packs);
  // Array.prototype.sort is stable, so equal weights keep the order of their ids.
  for (const item of Array.from(weights.keys()).sort((a, b) => weights[b] - weights[a])) {
    let lightest = -1;
    for (let candidate = 0; candidate < packs; candidate += 1) {
      if (packItems[candidate] === perPack) continue;
      if (lightest < 0 || packWeights[candidate] < packWeights[lightest]) lightest = candidate;
    }
    pack[item] = lightest;
    rank[item] = packItems[lightest];
    packWeights[lightest] += weights[item];
    packItems[lightest] += 1;
  }
  return { pack, rank };
}

function checkDivides(divisorName: string, divisor: number, name: string, value: number): void {
  if (!Number.isInteger(divisor) || divisor < 1 || value % divisor !== 0) {
    throw new JanusError(`${divisorName} is ${divisor}; give a positive divisor of the ${value} ${name}`);
  }
}
