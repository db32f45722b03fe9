import { Command, CommanderError, Help, Option } from 'commander';
import { addApprovals } from './commands/approvals.ts';
import { compile } from './commands/compile.ts';
import { doctor } from './commands/doctor.ts';
import { run } from './commands/run.ts';
import { addSessions } from './commands/sessions.ts';
import { simulate } from './commands/simulate.ts';
import { token } from './commands/token.ts';
import { validate } from './commands/validate.ts';
import { CliError, EXIT } from './exit.ts';
import type { Io } from './io.ts';
import { collect, DEFAULT_STATE, DEFAULT_WORKLOAD } from './options.ts';
import { versionAndCommit } from './version.ts';

const EXIT_CODES = `
Exit codes:
  0  done; simulate: allowed
  1  it failed, or it found problems (validate, sessions verify, doctor --check)
  2  wrong use
  3  refused: simulate: denied; approvals: you may not decide this
  4  simulate: held for an approval
`;

/** Runs one command. Never throws: a user's error is one line on stderr. */
export async function runCli(args: readonly string[], io: Io): Promise<number> {
  let code: number = EXIT.ok;
  const program = build(io, (result) => {
    code = result;
  });
  try {
    await program.parseAsync([...args], { from: 'user' });
    return code;
  } catch (error) {
    return tell(error, io);
  }
}

/** What commander throws it has told already. Errors of our own parts carry a sentence for people; of anything else only its kind is told. */
function tell(error: unknown, io: Io): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  if (error instanceof CliError) {
    io.stderr.write(`${error.message}\n`);
    return error.exitCode;
  }
  io.stderr.write(`${error instanceof Error && TOLD.has(error.name) ? error.message : `an error that should not be: ${nameOf(error)}`}\n`);
  return EXIT.failed;
}

const TOLD = new Set([
  'StartError',
  'ListenError',
  'SocketError',
  'RecordingError',
  'LocalIssuerError',
  'CredentialError',
  'IssuersError',
  'TlsError',
  'UpstreamError',
]);

function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  return `${error.name}: ${error.message.split('\n')[0] ?? ''}`;
}

function build(io: Io, done: (code: number) => void): Command {
  const { version, commit } = versionAndCommit();
  const program = new Command('chaperone')
    .description(
      'Decides what agents may do to databases and services, masks what comes back, asks a human where it must, and records it all.',
    )
    .version(`chaperone ${version} (${commit ?? 'dev'})`, '--version')
    .exitOverride()
    .configureOutput({ writeOut: (text) => void io.stdout.write(text), writeErr: (text) => void io.stderr.write(text) })
    .configureHelp({ optionDescription: (option) => new Help().optionDescription(option).replace(/ ?\(default: (\[\]|"")\)/, '') })
    .showHelpAfterError('(--help shows how it is used)')
    .addHelpText('after', EXIT_CODES);
  const command = (name: string, description: string, examples: readonly string[], parent = program): Command =>
    parent
      .command(name)
      .description(description)
      .addOption(new Option('-o, --output <format>', 'how results are printed').choices(['table', 'json']).default('table'))
      .addHelpText('after', `\nExamples:\n${examples.map((example) => `  $ chaperone ${example}\n`).join('')}`);
  const state = () => new Option('--state <dir>', 'folder for keys, recordings and the admin socket').default(DEFAULT_STATE);
  const workload = () =>
    new Option('--workload <namespace/name>', 'service account that the listeners stand for').default(DEFAULT_WORKLOAD);

  command('run', 'Serve every ProtectedResource of a folder; a line per verdict; reloads on change; SIGTERM drains', [
    'run --manifests examples/quickstart --workload shop/agent',
    'run --manifests policies --listen shop-db=127.0.0.1:6432 --secrets /run/secrets/chaperone --metrics-port 9090',
  ])
    .requiredOption('--manifests <dir>', 'folder of manifests, watched')
    .option('--secrets <dir>', 'mounted Secrets: DIR/NAMESPACE/NAME/KEY')
    .addOption(state())
    .addOption(workload())
    .option(
      '--listen <name=host:port>',
      'where a resource is served (repeatable); default: the first free port of 127.0.0.1 from 6432 up',
      collect,
      [],
    )
    .option('--issuers <file>', 'JSON: further issuers of tokens')
    .option('--tls-cert <file>', "certificate for the agents' leg; default: an own CA in STATE/tls")
    .option('--tls-key <file>', 'its key')
    .option('--metrics-port <port>', 'Prometheus metrics and health on 127.0.0.1')
    .option('--limit <name=number>', 'a limit of the process (repeatable); docs/limits.md has them', collect, [])
    .option('--drain-timeout <duration>', 'how long sessions may take to end', '10s')
    .action(async (options) => done(await run(options, io)));

  command('token', "Print a token of the state folder's own issuer", [
    'token --subject alice --group sre',
    'token --subject bob --group leads --ttl 8h --claim team=shop > bob.jwt',
  ])
    .requiredOption('--subject <name>', 'who the token is for')
    .option('--group <name>', 'group (repeatable)', collect, [])
    .option('--ttl <duration>', 'how long it is good', '1h')
    .option('--claim <name=value>', 'further claim (repeatable)', collect, [])
    .addOption(state())
    .action(async (options) => done(await token(options, io)));

  addSessions((name, description, examples, parent) => command(name, description, examples, parent).addOption(state()), program, io, done);

  addApprovals((name, description, examples, parent) => command(name, description, examples, parent).addOption(state()), program, io, done);

  command('simulate', 'Judge one action without a target, and tell which rules were looked at', [
    'simulate --manifests examples/quickstart --workload shop/agent --resource shop-db --sql "DELETE FROM orders WHERE id = 7"',
    'simulate --manifests policies --as alice --group sre --resource billing-api --method POST --path /v1/refunds',
  ])
    .requiredOption('--manifests <dir>', 'folder of manifests')
    .requiredOption('--resource <name>', 'NAME or NAMESPACE/NAME of a ProtectedResource')
    .addOption(workload())
    .option('--as <subject>', 'subject of the token that is presented; without it the workload is alone')
    .option('--group <name>', 'group of the token (repeatable)', collect, [])
    .option('--claim <name=value>', 'claim of the token (repeatable)', collect, [])
    .option('--issuer <issuer>', 'issuer of the token; default: the local one', '')
    .option('--sql <text>', 'SQL text')
    .option('--schema <name>', 'schema of relations that the text names without one', 'public')
    .option('--method <method>', 'HTTP method', 'GET')
    .option('--host <host>', "HTTP host; default: the target's")
    .option('--path <path>', 'HTTP path')
    .option('--at <time>', 'as if it were then (RFC 3339)')
    .addOption(new Option('--assurance <level>', 'as if the session had it').choices(['A', 'B', 'C', 'None']))
    .action(async (options) => done(await simulate(options, io)));

  command(
    'doctor <resource>',
    'Tell at which assurance (A, B, C) the masked columns of a target are, why, and the SQL that lifts them to A',
    [
      'doctor shop-db --manifests examples/quickstart',
      'doctor shop/orders-db --manifests policies --secrets /run/secrets/chaperone --check',
    ],
  )
    .requiredOption('--manifests <dir>', 'folder of manifests, with the Secret of the target')
    .option('--secrets <dir>', 'mounted Secrets: DIR/NAMESPACE/NAME/KEY')
    .option('--user <name>', 'one requested user of the ProtectedResource; default: all of them')
    .option('--check', 'exit 1 where a user is below A')
    .action(async (resource: string, options) => done(await doctor(resource, options, io)));

  command('validate <dir>', 'Check a folder of manifests: file:line: field: message', ['validate examples/quickstart']).action(
    async (dir: string, options) => done(await validate(dir, options, io)),
  );

  command('compile <dir>', "Print one workload's snapshot, and its version on stderr", [
    'compile examples/quickstart --workload shop/agent > snapshot.json',
  ])
    .addOption(workload())
    .action(async (dir: string, options) => done(await compile(dir, options, io)));

  command('install', 'Install the CRDs and the operator, with default values, by server-side apply; Helm is for everything else', [
    'install --registry registry.example.com/chaperone',
    'install --registry registry.example.com/chaperone --print > chaperone.yaml',
  ])
    .requiredOption('--registry <host/path>', 'where the images operator and sidecar were pushed to')
    .option('--print', 'print the manifests instead')
    .option('--wait <duration>', 'how long to wait for the operator; 0s: not at all', '120s')
    // Its Kubernetes client is as large as all the rest of the CLI, and no other command needs it.
    .action(async (options) => done(await (await import('./commands/install.ts')).install(options, io)));
  return program;
}
