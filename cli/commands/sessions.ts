import type { Command } from 'commander';
import { usageError } from '../exit.ts';
import type { Io } from '../io.ts';
import { collect } from '../options.ts';
import { listSessions } from '../sessions/list.ts';
import type { SessionsOptions } from '../sessions/options.ts';
import { replaySession } from '../sessions/replay.ts';
import { showSession } from '../sessions/show.ts';
import { verifyRecordings } from '../sessions/verify.ts';

interface SessionsFlags {
  readonly output: 'table' | 'json';
  readonly state: string;
  readonly namespace?: string;
  readonly resource?: string;
  readonly since?: string;
  readonly speed: string;
  readonly session?: string;
  readonly publicKey: readonly string[];
  readonly expectHead?: string;
  readonly bucket?: string;
  readonly endpoint?: string;
  readonly region?: string;
  readonly ca: readonly string[];
}

type Where = Pick<SessionsFlags, 'state' | 'output' | 'bucket' | 'endpoint' | 'region'>;

type MakeCommand = (name: string, description: string, examples: readonly string[], parent: Command) => Command;

/** The recordings of a state folder, or of a copy of its `recordings`. */
export function addSessions(makeOne: MakeCommand, program: Command, io: Io, done: (code: number) => void): void {
  const make: MakeCommand = (...about) =>
    makeOne(...about)
      .option('--bucket <url>', 's3://BUCKET/PREFIX in place of a folder; credentials as the AWS SDK finds them')
      .option('--endpoint <url>', 'of an S3-compatible server')
      .option('--region <name>', 'of the bucket');
  const sessions = program.command('sessions').description('Recorded sessions: ls, show, replay, verify');
  make('ls', 'List sessions', ['sessions ls', 'sessions ls --resource shop-db --since 2026-11-01 -o json'], sessions)
    .option('--namespace <name>', 'of this namespace')
    .option('--resource <name>', 'of this resource')
    .option('--since <time>', 'started at or after it (RFC 3339 or YYYY-MM-DD)')
    .action(async (flags: SessionsFlags) => done(await listSessions({ ...common(flags, io), ...filters(flags) })));
  make('show <session>', 'Print every event of a session', ['sessions show 3f2a'], sessions).action(
    async (session: string, flags: SessionsFlags) => done(await showSession({ ...common(flags, io), session })),
  );
  make('replay <session>', 'Play a session', ['sessions replay 3f2a --speed 10'], sessions)
    .option('--speed <factor>', '1 is as it happened, 0 does not wait', '0')
    .action(async (session: string, flags: SessionsFlags) =>
      done(await replaySession({ ...common(flags, io), session, speed: speedOf(flags.speed) })),
    );
  make(
    'verify',
    'Check that nothing was changed, removed or added; works offline with the public key',
    [
      'sessions verify',
      'sessions verify --state copy --public-key recording.pub.pem',
      'sessions verify --bucket s3://recordings/prod --ca ca.crt',
    ],
    sessions,
  )
    .option('--session <id>', 'only this session, and all ledgers')
    .option('--public-key <file>', 'PEM (repeatable); default: the one of the state folder', collect, [])
    .option(
      '--ca <file>',
      'PEM (repeatable): the authority of a cluster, for certificates of recorders and countersigned heads',
      collect,
      [],
    )
    .option('--expect-head <hash>', 'hash that the ledger had at an earlier time: proves that nothing since was cut off')
    .action(async ({ session, publicKey, expectHead, ca, ...flags }: SessionsFlags) =>
      done(
        await verifyRecordings({
          ...common(flags, io),
          publicKeys: publicKey,
          authorities: ca,
          ...(session === undefined ? {} : { session }),
          ...(expectHead === undefined ? {} : { expectHead }),
        }),
      ),
    );
}

function common({ state, output, bucket, endpoint, region }: Where, io: Io): SessionsOptions {
  const base = { dir: state, output, stdout: io.stdout, stderr: io.stderr, color: io.color.stdout };
  if (bucket === undefined) return base;
  return { ...base, bucket: { url: bucket, ...(endpoint === undefined ? {} : { endpoint }), ...(region === undefined ? {} : { region }) } };
}

function filters({ namespace, resource, since }: SessionsFlags) {
  return {
    ...(namespace === undefined ? {} : { namespace }),
    ...(resource === undefined ? {} : { resource }),
    ...(since === undefined ? {} : { since }),
  };
}

function speedOf(text: string): number {
  if (!/^\d{1,4}(\.\d+)?$/.test(text)) throw usageError(`--speed ${text}: must be 0 to 9999`);
  return Number(text);
}
