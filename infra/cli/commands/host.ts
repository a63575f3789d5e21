import { Command, Option } from 'commander';
import { startHost } from '../../../gpu-pool/host/start-host.ts';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import type { HostRole } from '../../../shared/protocol/member.ts';
import { type HostProbe, startHostProbe } from '../../probe/host-probe.ts';
import { openTracer } from '../../tracing/open-tracer.ts';
import { addExchangeOptions, type ExchangeFlags, toExchangeOptions } from '../options/exchange-options.ts';
import { addPoolOptions, MOST_INSTANCES, type PoolFlags, toPoolSettings } from '../options/pool-options.ts';
import { givenRedis, type RedisFlags, redisOption } from '../options/redis-option.ts';
import { addTraceOptions, type TraceFlags, toTraceSettings } from '../options/trace-options.ts';
import { oneOf, wholeNumber } from '../options/values.ts';
import { runUntilStopped } from '../until-stopped.ts';

const ROLES: readonly HostRole[] = ['attention', 'experts', 'both'];
const HIGHEST_PORT = 65_535;

interface HostFlags extends PoolFlags, ExchangeFlags, TraceFlags, RedisFlags {
  readonly role?: HostRole;
  readonly expertInstances?: number;
  readonly probePort?: number;
}

export function hostCommand(): Command {
  const command = new Command('host')
    .description('Run one host of the pools; hosts of a model find each other through Redis')
    .addOption(
      new Option('--role <role>', `instances that this host holds: ${ROLES.join(', ')}`).argParser(
        oneOf('--role', ROLES),
      ),
    )
    .option(
      '--expert-instances <n>',
      'role attention: expert instances, on all hosts together, to wait for',
      wholeNumber('--expert-instances', 1, MOST_INSTANCES),
    )
    .option(
      '--probe-port <port>',
      'answers /health and /ready over HTTP, for whoever restarts hosts; 0 takes a free port (default: none)',
      wholeNumber('--probe-port', 0, HIGHEST_PORT),
    );
  return addTraceOptions(addExchangeOptions(addPoolOptions(command)))
    .addOption(redisOption())
    .action((flags: HostFlags) => runUntilStopped(() => host(flags), console.log));
}

async function host(flags: HostFlags) {
  drainWithoutSupervisor();
  const { role, expertInstances } = flags;
  if (role === undefined) throw new JanusError(`--role is missing; give one of ${ROLES.join(', ')}.`);
  if (role === 'attention' && expertInstances === undefined) {
    throw new JanusError('--expert-instances is missing: role attention has to know how many to wait for.');
  }
  const settings = toPoolSettings(flags, role);
  const redisUrl = await givenRedis(flags);
  const tracer = await openTracer(toTraceSettings(flags), 'janus-host', console.error);
  const probe = await openProbe(flags);
  const running = await startHost(
    {
      ...settings,
      exchange: toExchangeOptions(flags),
      role,
      redisUrl,
      poolExpertInstances: expertInstances ?? 0,
    },
    { log: console.log, tracer },
  );
  probe?.watch(() => running.record());
  console.log(`ready: host ${running.id} in role ${role}, process ${process.pid}`);
  return {
    givenUp: running.givenUp,
    async close() {
      probe?.drain();
      await running.drain();
      await running.close();
      await tracer?.close();
      await probe?.close();
    },
  };
}

/** Null where nobody watches. It answers before the host loads anything. */
async function openProbe({ probePort }: HostFlags): Promise<HostProbe | null> {
  if (probePort === undefined) return null;
  const probe = await startHostProbe(probePort);
  console.log(`probe: port ${probe.port}`);
  return probe;
}

/** A host whose supervisor was killed ends as if told to: nobody counts it any more, and the next supervisor starts others. */
function drainWithoutSupervisor(): void {
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
  process.channel?.unref();
}
