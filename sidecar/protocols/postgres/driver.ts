import { randomUUID } from 'node:crypto';
import type { ResourcePolicy } from '#crds/policy/engine.ts';
import { DEFAULT_PROCESS_LIMITS, resourceLimits } from '#crds/policy/limits.ts';
import type { Principal } from '#crds/policy/principal.ts';
import { decide, denialOf } from '../../decide/decide.ts';
import type { StartTls } from '../../listener/tls.ts';
import { ready } from '../../mask/postgres/analyse.ts';
import { CatalogStore } from '../../mask/postgres/catalog-store.ts';
import type { Denial, Recorded } from '../../permit.ts';
import type { Connection, Driver, DriverContext, SessionRecorder } from '../../pipeline.ts';
import { UpstreamError } from '../../upstream/errors.ts';
import { cancelPostgres } from '../../upstream/postgres/cancel.ts';
import { connectPostgres, type PostgresConnection } from '../../upstream/postgres/login.ts';
import { type ByteBudget, messageBudget } from '../../wire/postgres/budget.ts';
import { WireError } from '../../wire/postgres/errors.ts';
import type { FrameLimits } from '../../wire/postgres/limits.ts';
import { type ErrorFields, encodeErrorResponse } from '../../wire/postgres/messages/error_notice.ts';
import { readStartupParameters, type StartupRequest } from '../../wire/postgres/messages/startup_parameters.ts';
import { CancelKeys } from './cancel-keys.ts';
import { CatalogSource } from './catalogs.ts';
import { greet } from './greet.ts';
import { Handshake } from './handshake.ts';
import { type Admitted, admit, assuranceOf, principalsOf } from './login.ts';
import { runSession } from './pump.ts';
import { denialFields, fatalFields } from './reply.ts';
import { codeOf, PgSession } from './session.ts';
import { upstreamTarget } from './target.ts';

export interface PostgresDriverOptions {
  /** Null: the agent's leg is plain, an SSLRequest is answered N. */
  readonly tls: StartTls | null;
  /** For the messages of all sessions that are not sent on; one of its own where absent. */
  readonly budget?: ByteBudget;
  readonly frameLimits?: Partial<FrameLimits>;
  readonly connectTimeoutMs?: number;
  /** Between two looks at what each session has used of its limits. */
  readonly limitCheckMs?: number;
}

/** A client that is refused before its session: what it is told. */
class Refused extends Error {
  readonly fields: ErrorFields;

  constructor(fields: ErrorFields) {
    super(fields.message);
    this.fields = fields;
  }
}

export function createPostgresDriver(context: DriverContext, options: PostgresDriverOptions): Driver {
  return new PostgresDriver(context, options);
}

class PostgresDriver implements Driver {
  readonly protocol = 'PostgreSQL';
  readonly noRoom = encodeErrorResponse(fatalFields('53300', 'too many connections'));
  readonly #context: DriverContext;
  readonly #options: PostgresDriverOptions;
  readonly #budget: ByteBudget;
  readonly #cancelKeys = new CancelKeys();
  readonly #sessions = new Set<PgSession>();
  readonly #catalogSource: CatalogSource;
  readonly #catalogs: CatalogStore;
  readonly #timer: NodeJS.Timeout;
  readonly #stopWatching: () => void;
  #draining = false;

  constructor(context: DriverContext, options: PostgresDriverOptions) {
    this.#context = context;
    this.#options = options;
    this.#budget = options.budget ?? messageBudget(process.constrainedMemory(), DEFAULT_PROCESS_LIMITS.maxBufferedTotalBytes);
    this.#catalogSource = new CatalogSource(context, options.connectTimeoutMs ?? 10_000);
    this.#catalogs = new CatalogStore({
      connect: (key) => this.#catalogSource.connect(key),
      onError: (key, error) => context.log.warn({ resource: key.resource, error: codeOf(error) }, 'the catalog could not be read'),
    });
    this.#timer = setInterval(() => this.#checkLimits(), options.limitCheckMs ?? 1000);
    this.#timer.unref();
    this.#stopWatching = context.policy.onChange(() => this.#judgeAgain());
  }

  async serve(connection: Connection): Promise<void> {
    const handshake = new Handshake(connection, this.#frameLimits(connection), this.#budget);
    try {
      await this.#serve(connection, handshake);
    } catch (error: unknown) {
      handshake.stream.write(encodeErrorResponse(fieldsOf(error)));
      if (!(error instanceof Refused) && !(error instanceof WireError)) {
        this.#context.log.warn({ resource: connection.resource, error: codeOf(error) }, 'a session could not be started');
      }
      handshake.stream.end();
    } finally {
      handshake.reader.dispose();
    }
  }

  #frameLimits({ resource }: Connection): Partial<FrameLimits> {
    const { maxMessageBytes } = resourceLimits(this.#context.policy.resource(resource)?.resource.limits);
    return { largeBytes: maxMessageBytes, ...this.#options.frameLimits };
  }

  async #serve(connection: Connection, handshake: Handshake): Promise<void> {
    const packet = await handshake.startup(this.#options.tls);
    if (packet === null) return handshake.stream.destroy();
    if (packet.type === 'CancelRequest') {
      this.#cancelKeys.cancel(packet.pid, packet.secret);
      return handshake.stream.end();
    }
    if (this.#draining) throw new Refused(fatalFields('57P01', 'the sidecar is shutting down'));
    await ready();
    const asked = readStartupParameters(packet);
    const policy = this.#context.policy.resource(connection.resource);
    const principals = await this.#identify(connection, policy, handshake, asked);
    if (principals === null) return handshake.stream.destroy();
    handshake.reader.enter('session');
    const admitted = admit(this.#context, connection, policy, principals, asked);
    const recorder = await this.#record(connection, policy, principals, asked);
    const action = { type: 'connect', database: asked.database, user: asked.user } as const;
    if (admitted.type === 'refused') return this.#refuse(connection, recorder, principals, asked, admitted.denial, admitted.sqlstate);
    const recorded = recorder.permit(admitted.permit, action);
    if (admitted.resource.recording.fsync === 'Always') await recorder.durable();
    const isReadOnly = policy?.readOnly(principals) === true;
    const parameters = isReadOnly ? new Map([...asked.parameters, ['default_transaction_read_only', 'on']]) : asked.parameters;
    const server = await this.#connect(admitted, parameters, recorded, recorder);
    connection.established?.();
    await this.#run(connection, handshake, packet.version, { admitted, asked, principals, recorder, recorded, server, isReadOnly });
  }

  /** A token that does not hold is refused and recorded under the workload's name alone. */
  async #identify(connection: Connection, policy: ResourcePolicy | null, handshake: Handshake, asked: StartupRequest) {
    try {
      return await principalsOf(this.#context, connection, policy?.resource ?? null, handshake);
    } catch (error: unknown) {
      if (!(error instanceof Error) || error.name !== 'IdentityError') throw error;
      const principals = [this.#context.identity.workload(connection)];
      const recorder = await this.#record(connection, policy, principals, asked);
      this.#context.log.warn({ resource: connection.resource, error: codeOf(error) }, 'a token was refused');
      return this.#refuse(connection, recorder, principals, asked, denialOf('token', 'AskerNotIdentified', 'invalid token'), '28P01');
    }
  }

  async #refuse(
    connection: Connection,
    recorder: SessionRecorder,
    principals: readonly Principal[],
    asked: StartupRequest,
    denial: Denial,
    sqlstate: string,
  ): Promise<never> {
    recorder.deny(denial, { type: 'connect', database: asked.database, user: asked.user });
    this.#context.onVerdict({
      time: this.#context.now(),
      session: recorder.session,
      resource: connection.resource,
      who: principals.at(-1)?.subject ?? 'unknown',
      verdict: denial.verdict,
      summary: 'connect',
    });
    await recorder.end('policy', denial.verdict.message);
    throw new Refused(denialFields(denial.verdict, sqlstate, 'FATAL'));
  }

  async #record(
    connection: Connection,
    policy: ResourcePolicy | null,
    principals: readonly Principal[],
    asked: StartupRequest,
  ): Promise<SessionRecorder> {
    const start = {
      protocol: 'PostgreSQL',
      resource: connection.resource,
      workload: connection.workload,
      principals: principals.map(({ claims: _claims, ...principal }) => principal),
      requestedUser: asked.user,
      database: asked.database,
      snapshot: this.#context.policy.version,
      assurance: policy === null ? 'None' : assuranceOf(policy.resource),
      ...(asked.applicationName !== '' && { client: asked.applicationName.slice(0, 256) }),
    } as const;
    try {
      return await this.#context.recordings.open(start, randomUUID());
    } catch (error: unknown) {
      this.#context.log.error({ resource: connection.resource, error: codeOf(error) }, 'no recording could be opened');
      throw new Refused(fatalFields('58030', 'the session can not be recorded, so it is refused'));
    }
  }

  async #connect(
    admitted: Admitted & { type: 'admitted' },
    parameters: ReadonlyMap<string, string>,
    recorded: Recorded,
    recorder: SessionRecorder,
  ): Promise<PostgresConnection> {
    const timeoutMs = this.#options.connectTimeoutMs ?? 10_000;
    try {
      const target = upstreamTarget(this.#context, admitted.resource, admitted.credential);
      const server = await connectPostgres({ ...target, recorded, timeoutMs, parameters, protocol: '3.2' });
      this.#catalogSource.remember(admitted.resource, admitted.credential, recorded);
      return server;
    } catch (error: unknown) {
      const code = codeOf(error);
      const { namespace, name } = admitted.resource;
      this.#context.log.warn({ resource: `${namespace}/${name}`, error: code }, 'the target could not be reached');
      const sqlstate = error instanceof UpstreamError && error.sqlstate !== undefined ? error.sqlstate : '08001';
      recorder.event({ type: 'note', code: 'UpstreamFailed', message: `the target could not be reached: ${code}` });
      await recorder.end('error', code);
      throw new Refused(fatalFields(sqlstate, `ProtectedResource ${namespace}/${name} could not be reached (${code})`));
    }
  }

  async #run(
    connection: Connection,
    handshake: Handshake,
    version: number,
    parts: {
      readonly admitted: Admitted & { type: 'admitted' };
      readonly asked: StartupRequest;
      readonly principals: readonly Principal[];
      readonly recorder: SessionRecorder;
      readonly recorded: Recorded;
      readonly server: PostgresConnection;
      readonly isReadOnly: boolean;
    },
  ): Promise<void> {
    const { resource } = parts.admitted;
    const { asked, server } = parts;
    const lease = this.#catalogs.lease(this.#catalogSource.keyOf(resource, asked.database, asked.user));
    const { principals, recorder, recorded } = parts;
    const session = new PgSession({
      context: this.#context,
      connection,
      resource,
      principals,
      requestedUser: asked.user,
      database: asked.database,
      recorder,
      client: handshake.handOver(),
      server,
      recorded,
      catalog: lease,
    });
    session.isReadOnly = parts.isReadOnly;
    const cancelled = () => this.#cancel(session);
    const key = this.#cancelKeys.issue(server.protocolVersion === '3.2' && version > 0x0003_0000 ? 32 : 4, cancelled);
    this.#sessions.add(session);
    try {
      if (handshake.closed) session.end('client');
      greet(session, version, asked.unknownOptions, key);
      await runSession(session, handshake.reader);
    } finally {
      this.#sessions.delete(session);
      this.#context.assurances?.remove(recorder.session);
      key.revoke();
      lease.release();
    }
  }

  /** A CancelRequest withdraws what is held, and is passed on to the session's own backend otherwise. */
  #cancel(session: PgSession): void {
    const { recorder, server, resource, recorded } = session.parts;
    if (!session.use.mayCancel(this.#context.now())) return;
    try {
      recorder.event({ type: 'note', code: 'Cancel', message: 'the client asked to cancel' });
    } catch {
      // The session ends at its next command; a cancel does no harm meanwhile.
    }
    if (session.held !== null) return session.held.abort('cancelled by the client');
    if (server.key === null || session.queue.empty) return;
    const { address, tls } = upstreamTarget(this.#context, resource, null);
    cancelPostgres({ address, tls, key: server.key, recorded, timeoutMs: this.#options.connectTimeoutMs ?? 10_000 }).catch(
      (error: unknown) => {
        this.#context.log.warn({ error: codeOf(error) }, 'a cancel request did not reach the target');
      },
    );
  }

  #checkLimits(): void {
    const now = this.#context.now();
    for (const session of this.#sessions) {
      const limits = session.policy?.limits(session.parts.principals) ?? {};
      const over = session.meter.over(limits, now, session.busy);
      if (over !== null) session.fatal('57P05', `the session's limit ${over} is exceeded`, 'limit');
    }
  }

  /** A session whose connection is no longer allowed ends; its statements are judged one by one anyway. */
  #judgeAgain(): void {
    for (const session of this.#sessions) {
      const { principals, database, requestedUser } = session.parts;
      const action = { type: 'connect', database, user: requestedUser } as const;
      const outcome = decide(session.policy, session.why, { principals, action, nowMs: this.#context.now() }, Buffer.alloc(0));
      if (outcome.type === 'denial') session.fatalDenial(outcome.denial.verdict, '42501', 'policy');
    }
  }

  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    this.#stopWatching();
    clearInterval(this.#timer);
    const deadline = this.#context.now() + graceMs;
    while (this.#sessions.size > 0) {
      const late = this.#context.now() >= deadline;
      for (const session of this.#sessions) {
        if (late || !session.busy) session.fatal('57P01', 'terminating connection: the sidecar is shutting down', 'drain');
      }
      await Promise.race([
        Promise.all([...this.#sessions].map((session) => session.finished)),
        new Promise((resolve) => setTimeout(resolve, 20)),
      ]);
    }
    await this.#catalogs.close();
  }
}

function fieldsOf(error: unknown): ErrorFields {
  if (error instanceof Refused) return error.fields;
  if (error instanceof WireError) return fatalFields(error.sqlstate, error.message);
  return fatalFields('XX000', 'the session could not be started');
}
