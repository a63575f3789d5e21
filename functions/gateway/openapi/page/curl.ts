import type { Document, Method, OperationObject } from '../document-types.ts';

/** Stands in the commands for the address of the gateway. */
export const ADDRESS_VARIABLE = 'JANUS';

const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

const needsKey = (operation: OperationObject, document: Document): boolean =>
  (operation.security ?? document.security).length > 0;

function bodyArguments({ requestBody }: OperationObject): string[] {
  const first = Object.entries(requestBody?.content ?? {}).at(0);
  if (first === undefined) return [];
  const [mediaType, { example = {} }] = first;
  if (mediaType === 'multipart/form-data') {
    return Object.entries(example).map(([name, value]) => `-F ${quoted(`${name}=${value}`)}`);
  }
  return [`-H ${quoted(`Content-Type: ${mediaType}`)}`, `-d ${quoted(JSON.stringify(example))}`];
}

/** A command that asks for an operation. */
export function curlCommand(
  path: string,
  method: Method,
  operation: OperationObject,
  document: Document,
): string {
  const verb = method === 'get' || operation.requestBody !== undefined ? '' : `-X ${method.toUpperCase()} `;
  const key = needsKey(operation, document) ? [`-H ${quoted('Authorization: Bearer sk-janus-…')}`] : [];
  return [`curl ${verb}"$${ADDRESS_VARIABLE}${path}"`, ...key, ...bodyArguments(operation)].join(' \\\n  ');
}
