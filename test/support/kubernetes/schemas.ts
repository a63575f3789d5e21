import type { KubernetesObject } from '@kubernetes/client-node';
import * as deployment from 'kubernetes-models/_schemas/IoK8sApiAppsV1Deployment';
import * as configMap from 'kubernetes-models/_schemas/IoK8sApiCoreV1ConfigMap';
import * as service from 'kubernetes-models/_schemas/IoK8sApiCoreV1Service';
import * as serviceAccount from 'kubernetes-models/_schemas/IoK8sApiCoreV1ServiceAccount';
import * as role from 'kubernetes-models/_schemas/IoK8sApiRbacV1Role';
import * as roleBinding from 'kubernetes-models/_schemas/IoK8sApiRbacV1RoleBinding';

/** Kubernetes' own schemas, compiled by Ajv, by version and kind. */
const SCHEMAS: Readonly<Record<string, { readonly validate: Validate }>> = {
  'apps/v1 Deployment': deployment,
  'v1 ConfigMap': configMap,
  'v1 Service': service,
  'v1 ServiceAccount': serviceAccount,
  'rbac.authorization.k8s.io/v1 Role': role,
  'rbac.authorization.k8s.io/v1 RoleBinding': roleBinding,
};

/** What Ajv makes of a schema. */
type Validate = ((data: unknown) => boolean) & {
  readonly errors?: readonly { readonly instancePath: string; readonly message?: string }[] | null;
};

/** What is wrong with an object by the schema of its kind; empty where nothing is. */
export function schemaErrors(object: KubernetesObject): string[] {
  const { apiVersion, kind } = object;
  const schema = SCHEMAS[`${apiVersion} ${kind}`];
  if (schema === undefined) return [`there is no schema of ${apiVersion} ${kind}`];
  if (schema.validate(object)) return [];
  return (schema.validate.errors ?? []).map(
    (error) => `${kind}${error.instancePath}: ${JSON.stringify(error)}`,
  );
}
