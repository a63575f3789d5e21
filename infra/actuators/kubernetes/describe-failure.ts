import type { ApiFailure } from './api-failure.ts';

/** Whether a later attempt may succeed by itself (`failed`), and what happened and what to do. */
export function describeFailure(failure: ApiFailure): ['refused' | 'failed', string] {
  switch (failure.kind) {
    case 'forbidden':
      return [
        'refused',
        `its scale may not be read or set (${failure.message}). Apply Role and RoleBinding of \`janus deploy\`.`,
      ];
    case 'missing':
      return ['refused', `it is not there (${failure.message}). Apply what \`janus deploy\` writes.`];
    case 'rejected':
      return ['refused', `the API server refuses its new scale (${failure.message}).`];
    case 'unauthorized':
      return [
        'failed',
        'the token is not accepted, nor is that which its file holds now. Is it still mounted?',
      ];
    case 'busy':
      return [
        'failed',
        `the API server wants no requests${failure.retryAfterMs === null ? '' : ` for ${Math.ceil(failure.retryAfterMs / 1_000)} s`}; a later round tries again.`,
      ];
    case 'unreachable':
      return [
        'failed',
        `the API server cannot be reached (${failure.message}). The next round tries again; see whether it is up and its address right.`,
      ];
    case 'conflict':
      return ['failed', 'it was changed by others; the next round tries again.'];
    case 'broken':
      return ['failed', `the API server failed (${failure.message}); the next round tries again.`];
  }
}
