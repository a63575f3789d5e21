import type { RbacV1Subject, V1PolicyRule, V1Role, V1RoleBinding } from '@kubernetes/client-node';
import { ApiError } from './api-error.ts';

/** What a request asks for, as role-based access control sees it. */
export interface Attributes {
  readonly verb: string;
  readonly group: string;
  /** With its subresource: `deployments/scale`. */
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
}

/** Who asks: a service account. */
export interface Account {
  readonly namespace: string;
  readonly name: string;
}

/** @throws ApiError 403 unless some role that is bound to the account allows it */
export function authorize(
  account: Account,
  asked: Attributes,
  roles: readonly V1Role[],
  bindings: readonly V1RoleBinding[],
): void {
  const rules = bindings
    .filter(({ metadata }) => metadata?.namespace === asked.namespace)
    .filter(({ subjects = [] }) => subjects.some((subject) => isAccount(subject, account)))
    .flatMap(({ roleRef }) =>
      roles
        .filter(({ metadata }) => metadata?.name === roleRef.name && metadata.namespace === asked.namespace)
        .flatMap(({ rules: held = [] }) => held),
    );
  if (rules.some((rule) => allows(rule, asked))) return;
  const { verb, group, resource, namespace, name } = asked;
  throw new ApiError(
    403,
    'Forbidden',
    `${resource.split('/')[0]}.${group} "${name}" is forbidden: User "system:serviceaccount:${account.namespace}:${account.name}" ` +
      `cannot ${verb} resource "${resource}" in API group "${group}" in the namespace "${namespace}"`,
  );
}

const isAccount = ({ kind, name, namespace }: RbacV1Subject, account: Account): boolean =>
  kind === 'ServiceAccount' && name === account.name && namespace === account.namespace;

function allows({ verbs, apiGroups, resources, resourceNames }: V1PolicyRule, asked: Attributes): boolean {
  const holds = (listed: readonly string[] | undefined, value: string) =>
    listed?.some((item) => item === value || item === '*') ?? false;
  const isNamed = resourceNames === undefined || resourceNames.includes(asked.name);
  return (
    holds(verbs, asked.verb) && holds(apiGroups, asked.group) && holds(resources, asked.resource) && isNamed
  );
}
