/**
 * The protocol's corpus: bytes that attacked other proxies, sent through a sidecar to a real server, and servers that break the rules.
 * Beside what a case asks: nothing reaches the server unjudged, nothing hangs, the sidecar lives on, and what is masked stays so.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type Postgres, startPostgres } from '../postgres/server.ts';
import * as bytes from './bytes.ts';
import type { CaseResult, CorpusOptions } from './case.ts';
import { Connection } from './connection.ts';
import { statementsOf } from './databases.ts';
import { BytesClient, errorField, messagesIn } from './protocol-client.ts';
import { type Exchange, kindsOf } from './protocol-expect.ts';
import { inputsOf, type ProtocolCase, type ProtocolInput } from './protocol-input.ts';
import { type ProtocolRelay, startProtocolRelay } from './protocol-relay.ts';
import { type BadServer, MARK, type Scenario, scenariosOf, startBadServer } from './protocol-server.ts';
import { ACCOUNT, PROTOCOL_DATABASE, type ProtocolSidecar, startProtocolSidecar } from './protocol-sidecar.ts';

const FILE = 'pg-protocol-cases.jsonl';
const SCHEMA = 'pg-corpus-schema.sql';
const SECRET = /\d{3}-\d\d-\d{4}/;
/** The listener gives a login ten seconds. */
const PATIENCE_MS = 12_000;

interface Stage {
  readonly postgres: Postgres;
  readonly relay: ProtocolRelay;
  readonly bad: BadServer;
  readonly sidecar: ProtocolSidecar;
}

export async function* runProtocol(options: CorpusOptions): AsyncGenerator<CaseResult> {
  const lines = (await readFile(join(options.cases, FILE), 'utf8')).split('\n').filter((line) => line !== '');
  const cases = lines.map((line) => JSON.parse(line) as ProtocolCase).filter(({ id }) => options.only === null || options.only.test(id));
  if (cases.length === 0) return;
  const stage = await startStage(options);
  const crashes: string[] = [];
  const crashed = (error: unknown): void => {
    crashes.push(String(error));
  };
  process.on('uncaughtException', crashed);
  try {
    for (const each of cases) {
      crashes.length = 0;
      let problem = await problemOf(stage, each).catch((error: unknown) => `not run: ${String(error)}`);
      if (crashes.length > 0) problem = `the sidecar would have crashed: ${crashes.join(', ')}`;
      yield { set: 'protocol', id: each.id, category: each.phase, problem };
    }
  } finally {
    process.off('uncaughtException', crashed);
    await stage.sidecar.stop();
    await Promise.all([stage.relay.stop(), stage.bad.stop()]);
    await stage.postgres.stop();
  }
}

async function startStage(options: CorpusOptions): Promise<Stage> {
  const postgres = await startPostgres({ major: options.postgres, database: PROTOCOL_DATABASE });
  const { host, port, superuser } = postgres;
  const client = new pg.Client({ host, port, ...superuser, database: PROTOCOL_DATABASE });
  await client.connect();
  const schema = await readFile(join(options.cases, SCHEMA), 'utf8').catch(() => readFile(join(import.meta.dirname, SCHEMA), 'utf8'));
  // The tables are what is needed; a server without the contributed modules has them as well.
  for (const statement of statementsOf(schema)) await client.query(statement).catch(() => undefined);
  await client.end();
  const relay = await startProtocolRelay(postgres.port);
  const bad = await startBadServer();
  const sidecar = await startProtocolSidecar({ db: relay.port, bad: bad.port, badtls: bad.port });
  return { postgres, relay, bad, sidecar };
}

async function problemOf(stage: Stage, each: ProtocolCase): Promise<string | null> {
  const problems: string[] = [];
  if (each.phase === 'server-side' || /\bSERVER\b/.test(each.proxyMust)) {
    for (const scenario of scenariosOf(`${each.title} ${each.proxyMust}`)) {
      const problem = await problemOfServer(stage, scenario);
      if (problem !== null) problems.push(`${scenario.name}: ${problem}`);
    }
  }
  if (each.phase !== 'server-side') {
    const inputs = inputsOf(each);
    if (inputs.length === 0) problems.push('there is nothing to send');
    for (const input of inputs) problems.push(...(await problemsOfInput(stage, each, input)));
  }
  const alive = await isServed(stage);
  if (!alive) problems.push('the sidecar serves nobody afterwards');
  return problems.length > 0 ? problems.join('; ') : null;
}

async function problemsOfInput(stage: Stage, each: ProtocolCase, input: ProtocolInput): Promise<string[]> {
  const direct = await exchange(stage.postgres.port, input, ACCOUNT.password);
  stage.relay.take();
  stage.sidecar.allowed.length = 0;
  const ours = await exchange(stage.sidecar.portOf('db'), input, 'unused');
  const forwarded = stage.relay.take();
  const seen: Exchange = { sent: input.bytes, direct, ours: { ...ours, forwarded } };
  const problems = kindsOf(each.proxyMust).map(({ check }) => check(seen));
  problems.push(unjudged(input.bytes, forwarded, stage.sidecar.allowed));
  if (ours.hangs && !direct.hangs) problems.push('it hangs');
  const received = Buffer.concat(ours.messages.map(({ body }) => body)).toString('latin1');
  if (SECRET.test(received)) problems.push('a masked value came back');
  return problems.filter((problem) => problem !== null);
}

/** A text of the client that reached the server without a verdict that allows it. */
function unjudged(sent: Buffer, forwarded: Buffer, allowed: readonly string[]): string | null {
  const texts = sent.toString('latin1').match(/[\x20-\x7e]{8,}/g) ?? [];
  const slipped = texts
    .filter((text) => /\b(select|insert|update|delete|copy|set|drop|create)\b/i.test(text))
    .find((text) => forwarded.includes(`${text}\0`) && !allowed.some((summary) => summary.includes(text) || text.includes(summary)));
  return slipped === undefined ? null : `forwarded without a verdict: ${slipped}`;
}

type Outcome = Omit<Exchange['ours'], 'forwarded'> & { readonly forwarded: Buffer; readonly hangs: boolean };

async function exchange(port: number, input: ProtocolInput, password: string): Promise<Outcome> {
  if (input.type === 'startup') return startupExchange(port, input);
  const { user } = ACCOUNT;
  const connection = await Connection.open(port, { user, password }, PROTOCOL_DATABASE, input.parameters);
  try {
    if (connection.closed) return { messages: connection.messages, closed: true, forwarded: Buffer.alloc(0), hangs: false };
    connection.messages.length = 0;
    connection.write(input.bytes);
    while (!connection.closed && Date.now() - connection.lastMs < 250) await sleep(10);
    await connection.until(() => connection.closed, 250);
    const { closed } = connection;
    const messages = [...connection.messages];
    // Whoever is still there answers a Sync, be it after the end of a COPY.
    const inCopy = messages.findLastIndex(({ type }) => type === 'G') > messages.findLastIndex(({ type }) => 'CE'.includes(type));
    const probe = inCopy ? [bytes.copyFail('enough'), bytes.sync()] : [bytes.sync()];
    const hangs = !closed && !(await connection.round(probe, 1, 3000));
    return { messages, closed, forwarded: Buffer.alloc(0), hangs };
  } finally {
    connection.end();
  }
}

async function startupExchange(port: number, input: ProtocolInput): Promise<Outcome> {
  const client = new BytesClient(port);
  try {
    client.send(input.bytes);
    if (input.thenTls) {
      await client.until((received) => received.length > 0 || client.closed, 3000);
      if (client.take()[0] === 0x53) client.startTls();
    }
    await client.quiet();
    await client.until(() => client.closed, 500);
    const messages = messagesIn(client.take(), true);
    const { closed } = client;
    // A login that is not finished is given up by the listener; the server has a minute.
    const hangs = !closed && messages.length === 0 && !(await client.until(() => client.closed, PATIENCE_MS));
    return { messages, closed: closed || (messages.length === 0 && client.closed), forwarded: Buffer.alloc(0), hangs };
  } finally {
    client.end();
  }
}

async function problemOfServer({ bad, sidecar }: Stage, scenario: Scenario): Promise<string | null> {
  bad.play(scenario);
  const before = process.memoryUsage.rss();
  const connection = await Connection.open(sidecar.portOf(scenario.resource), ACCOUNT, PROTOCOL_DATABASE);
  const loggedIn = !connection.closed;
  const answered = !loggedIn || (await connection.round([bytes.query('SELECT 1')], 1, 5000));
  await connection.until(() => connection.closed, 300);
  const { closed, messages } = connection;
  connection.end();
  const grewMb = (process.memoryUsage.rss() - before) / 1024 / 1024;
  if (!answered) return 'it hangs';
  if (grewMb > 200) return `it took ${Math.round(grewMb)} MB`;
  if (messages.some(({ type, body }) => type === 'D' && body.includes(MARK))) return 'a row that can not be trusted came through';
  const refused = closed || messages.some((message) => message.type === 'E' && errorField(message, 'C') !== undefined);
  return refused ? null : `taken for good: ${messages.map(({ type }) => type).join(' ')}`;
}

async function isServed({ sidecar }: Stage): Promise<boolean> {
  const connection = await Connection.open(sidecar.portOf('db'), ACCOUNT, PROTOCOL_DATABASE);
  const answered = !connection.closed && (await connection.round([bytes.query('SELECT 1')], 1, 3000)) && !connection.closed;
  connection.end();
  return answered;
}
