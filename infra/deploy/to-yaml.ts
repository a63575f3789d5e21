import { dumpYaml, type KubernetesObject } from '@kubernetes/client-node';

/** One YAML stream, as `kubectl apply -f` takes it. The same objects give the same text. */
export const toYaml = (objects: readonly KubernetesObject[]): string =>
  objects.map((object) => dumpYaml(object, { noRefs: true, lineWidth: -1, sortKeys: true })).join('---\n');
