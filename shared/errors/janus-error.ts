/**
 * An error that a user can act on: `message` names the field, file or tensor, and says what to do. Everything else that
 * is thrown is a defect of ours.
 */
export class JanusError extends Error {
  override readonly name: string = 'JanusError';
}
