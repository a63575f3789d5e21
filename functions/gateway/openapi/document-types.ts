import type { JsonSchema } from '../schema/input-schema.ts';

/** The parts of an OpenAPI 3.1 document that ours has. */
export interface Document {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly security: readonly SecurityRequirement[];
  readonly tags: readonly { readonly name: string }[];
  readonly paths: Readonly<Record<string, PathItem>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, JsonSchema>>;
    readonly responses: Readonly<Record<string, ResponseObject>>;
    readonly securitySchemes: Readonly<Record<string, object>>;
  };
}

export type SecurityRequirement = Readonly<Record<string, readonly string[]>>;

export const METHODS = ['get', 'post', 'delete'] as const;
export type Method = (typeof METHODS)[number];

export type PathItem = Readonly<Partial<Record<Method, OperationObject>>>;

export interface OperationObject {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly description?: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly required: true; readonly content: MediaTypes };
  readonly responses: Readonly<Record<string, ResponseObject | Reference>>;
  /** Absent: that of the document. */
  readonly security?: readonly SecurityRequirement[];
  /** Id of the operation of which this is another address. */
  readonly 'x-same-as'?: string;
}

export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'header' | 'query';
  readonly required: boolean;
  readonly description?: string;
  readonly schema: JsonSchema;
}

export type MediaTypes = Readonly<Record<string, { readonly schema: JsonSchema; readonly example?: object }>>;

export interface ResponseObject {
  readonly description: string;
  readonly headers?: Readonly<Record<string, { readonly description: string; readonly schema: JsonSchema }>>;
  readonly content?: MediaTypes;
}

export interface Reference {
  readonly $ref: string;
}

export const isReference = (value: object): value is Reference => '$ref' in value;
