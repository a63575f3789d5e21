import { type ExpertLink, emptyStatistics, PeerLostError } from './link.ts';

/** In the place of the link to a host that a placement gives no replica: it may not be there, and is asked for nothing. */
export class AbsentLink implements ExpertLink {
  readonly kind = 'socket';
  readonly host: string;
  readonly statistics = emptyStatistics();

  constructor(host: string) {
    this.host = host;
  }

  async exchange(): Promise<void> {
    throw new PeerLostError(this.host, 'the placement gives it nothing to compute');
  }

  async close(): Promise<void> {}
}
