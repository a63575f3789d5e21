import { EXPOSITION_CONTENT_TYPE } from '../../metrics/exposition.ts';
import { NOT_OFFERED } from '../../routes/not-offered.ts';
import { apiPaths, KEY_ERRORS, type Operation } from '../operation.ts';

const service = { method: 'get', tag: 'Service', access: 'none' } as const;

export const MODELS: readonly Operation[] = [
  {
    id: 'listModels',
    method: 'get',
    paths: apiPaths('/models'),
    tag: 'Models',
    summary: 'Lists the models that answer now',
    access: 'api',
    answer: { description: 'The models.', content: { kind: 'json', schema: 'ModelList' } },
    errors: KEY_ERRORS,
  },
  {
    id: 'getModel',
    method: 'get',
    paths: apiPaths('/models/{id}'),
    tag: 'Models',
    summary: 'Tells of a model',
    access: 'api',
    answer: { description: 'The model.', content: { kind: 'json', schema: 'Model' } },
    errors: [...KEY_ERRORS, 404],
  },
];

export const SERVICE: readonly Operation[] = [
  {
    ...service,
    id: 'getHealth',
    paths: ['/health'],
    summary: 'Whether this process runs and reaches Redis',
    answer: { description: 'It does.', content: { kind: 'json', schema: 'Health' } },
    errors: [503],
  },
  {
    ...service,
    id: 'getReadiness',
    paths: ['/ready'],
    summary: 'Whether some model can answer',
    answer: { description: 'It can.', content: { kind: 'json', schema: 'Readiness' } },
    errors: [503],
  },
  {
    ...service,
    id: 'getMetrics',
    paths: ['/metrics'],
    summary: 'Metrics for Prometheus',
    description: 'Where any key exists, it takes one of the class `admin`.',
    access: 'admin',
    answer: {
      description: 'Metrics of this gateway and of the pools.',
      content: { kind: 'text', mediaType: EXPOSITION_CONTENT_TYPE },
    },
    errors: [401, 403, 500],
  },
  {
    ...service,
    id: 'getDocument',
    paths: ['/openapi.json'],
    summary: 'This API as an OpenAPI document',
    answer: { description: 'The document.', content: { kind: 'text', mediaType: 'application/json' } },
    errors: [],
  },
  {
    ...service,
    id: 'getDocs',
    paths: ['/docs'],
    summary: 'The same to be read',
    answer: { description: 'A page.', content: { kind: 'text', mediaType: 'text/html; charset=UTF-8' } },
    errors: [],
  },
];

/** `/images/generations` → `imagesGenerations` */
const idOf = (path: string): string =>
  path.slice(1).replace(/\W(\w)/g, (_, letter: string) => letter.toUpperCase());

/** They answer in OpenAI's shape that they do not answer. */
export const UNAVAILABLE: readonly Operation[] = Object.entries(NOT_OFFERED).map(([path, what]) => ({
  id: idOf(path),
  method: 'post',
  paths: apiPaths(path),
  tag: 'Not offered',
  summary: `Does not offer ${what}`,
  access: 'api',
  errors: [400, ...KEY_ERRORS],
}));
