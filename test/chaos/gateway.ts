import { startGateway } from '../../functions/gateway/node.ts';

/** Runs a gateway as `janus gateway` does, with another number of lines of a batch at a time. */
const [redisUrl, folder, linesInFlight] = process.argv.slice(2);
const gateway = await startGateway({
  redisUrl: redisUrl!,
  host: '127.0.0.1',
  port: 0,
  files: { folder: folder!, limits: { linesInFlight: Number(linesInFlight) } },
});
console.log(`ready: http://127.0.0.1:${gateway.port}/v1`);
