/**
 * The state machine of a session: messages of the client in any order and any cuts, answers of the server in any order, through the sidecar as it is
 * started for the corpora. Broken where what is denied goes to the server, something unknown is thrown, or a session hangs. There are no masks:
 * they need a catalog, which a server like this has not.
 */
import assert from 'node:assert/strict';
import { Connection } from '../corpora/connection.ts';
import { type CorpusSidecar, databaseManifests, startCorpusSidecar } from '../corpora/sidecar.ts';
import { CLIENT, CLIENT_TEXTS, FORBIDDEN, SERVER, USUAL } from './session-messages.ts';
import { type ScriptedServer, startScriptedServer } from './session-server.ts';
import type { Target } from './targets.ts';

const ACCOUNT = { user: 'app', password: 'apppw' };
/** As long as a busy machine may take. */
const END_MS = 10_000;
/** How long a session waits for answers before it ends: some never come. */
const ANSWERS_MS = 80;
/** Query and Sync are answered by ReadyForQuery. */
const ASKS: ReadonlySet<number> = new Set([0x51, 0x53]);

const RULES = '[{name: all, action: Allow}, {name: no-delete, action: Deny, sql: {statements: [Delete]}}]';

const SEEDS: readonly Buffer[] = ['00', '0168d0', '004f4f', '0513', '1336594f', 'e00ff0', '00e8f0f8', '121b364d4d00'].map((hex) =>
  Buffer.from(hex, 'hex'),
);

export class SessionFuzz {
  readonly #server: ScriptedServer;
  readonly #sidecar: CorpusSidecar;
  /** What failed, since the run began. */
  readonly #failures: string[];

  private constructor(server: ScriptedServer, sidecar: CorpusSidecar, failures: string[]) {
    this.#server = server;
    this.#sidecar = sidecar;
    this.#failures = failures;
  }

  static async start(): Promise<SessionFuzz> {
    const server = await startScriptedServer();
    const failures: string[] = [];
    const sidecar = await startCorpusSidecar(
      databaseManifests({ port: server.port, database: 'corpus', accounts: [ACCOUNT], rules: RULES }),
      undefined,
      (fields, message) => void failures.push(`${message} ${JSON.stringify(fields)}`),
    );
    return new SessionFuzz(server, sidecar, failures);
  }

  get target(): Target {
    return { name: 'session', run: async (input) => void (await this.run(input)), seeds: SEEDS, maxRunMs: 2 * END_MS };
  }

  async stop(): Promise<void> {
    await this.#sidecar.stop();
    await this.#server.stop();
  }

  /** A byte each: a message of the client, a message of the server's next answer, the end of that answer, a cut, an answer to nothing. Gives the texts that reached the server. */
  async run(input: Buffer, answersMs = ANSWERS_MS): Promise<readonly string[]> {
    const answers = answersOf(input);
    this.#server.play(answers, USUAL);
    this.#failures.length = 0;
    const connection = await Connection.open(this.#sidecar.portOf('db'), ACCOUNT, 'corpus');
    let bytes: Buffer[] = [];
    for (const byte of input) {
      if (byte < 96) bytes.push(CLIENT[byte % CLIENT.length] as Buffer);
      else if (byte >= 224) {
        connection.write(...bytes);
        bytes = [];
        await new Promise((resolve) => setImmediate(resolve));
        if (byte >= 240) this.#server.push();
      }
    }
    connection.write(...bytes);
    const asked = [...input].filter((byte) => byte < 96 && ASKS.has(CLIENT[byte % CLIENT.length]?.[0] ?? 0)).length;
    await connection.until(() => connection.closed || connection.messages.filter(({ type }) => type === 'Z').length > asked, answersMs);
    connection.end();
    assert.ok(await connection.until(() => connection.closed, END_MS), 'the client is not let go');
    for (const until = Date.now() + END_MS; this.#server.open > 0; await new Promise((resolve) => setTimeout(resolve, 1)))
      assert.ok(Date.now() < until, 'the server is not let go');
    return this.#look();
  }

  #look(): readonly string[] {
    const { received } = this.#server;
    assert.ok(!received.includes(FORBIDDEN), 'what is denied reaches the server');
    const texts = textsIn(received);
    const unknown = this.#failures.find((failure) =>
      /"(TypeError|RangeError|ReferenceError|AssertionError|Error|unknown|InternalError)"/.test(failure),
    );
    assert.equal(unknown, undefined, 'something else than an error of ours is thrown');
    return texts;
  }
}

/** Without a limit a script could make one answer of thousands of messages. */
const MAX_ANSWERS = 64;

function answersOf(input: Buffer): Buffer[] {
  const answers: Buffer[][] = [[]];
  for (const byte of input) {
    if (byte >= 96 && byte < 208) answers.at(-1)?.push(SERVER[(byte - 96) % SERVER.length] as Buffer);
    else if (byte >= 208 && byte < 224) answers.push([]);
  }
  return answers.slice(0, MAX_ANSWERS).flatMap((parts) => (parts.length === 0 ? [] : [Buffer.concat(parts)]));
}

/** SQL of the client's in the Query and Parse messages; what the sidecar asks for itself is none of that. */
function textsIn(received: Buffer): string[] {
  const texts: string[] = [];
  for (let at = 0; at + 5 <= received.length; ) {
    const [type, end] = [received[at], at + 1 + received.readUInt32BE(at + 1)];
    const from = type === 0x50 ? received.indexOf(0, at + 5) + 1 : at + 5;
    const text = received.toString('utf8', from, received.indexOf(0, from));
    if ((type === 0x51 || type === 0x50) && CLIENT_TEXTS.has(text)) texts.push(text);
    at = end;
  }
  return texts;
}
