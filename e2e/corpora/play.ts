/** Plays a case once, against a fresh database. */
import { Connection } from './connection.ts';
import { ACCOUNTS, DATABASE, type Databases, type Template } from './databases.ts';
import { type MaskingCase, type Step, stepsOf } from './masking-case.ts';
import { sendStep } from './steps.ts';
import type { Transcript } from './transcript.ts';

/** Of a session that is not the attacker's and not behind the sidecar. */
const VICTIM = 'victim';

/** `port` is the sidecar's, or the server's own. */
export async function play(
  databases: Databases,
  port: number,
  item: MaskingCase,
  template: Template,
  steps: readonly Step[] = stepsOf(item),
): Promise<Transcript> {
  await databases.fresh(template, item);
  const connections = new Map<string, Connection>();
  const connectionOf = async (name: string): Promise<Connection> => {
    const known = connections.get(name);
    if (known !== undefined) return known;
    const opened =
      name === VICTIM
        ? await Connection.open(databases.server.port, ACCOUNTS.app, DATABASE)
        : await Connection.open(port, ACCOUNTS[item.role ?? 'app'], DATABASE, item.startup);
    connections.set(name, opened);
    return opened;
  };
  const startedMs = Date.now();
  let hangs = false;
  try {
    for (const step of steps) {
      if (await sendStep(await connectionOf(step.on ?? 'a'), step, (signature) => databases.oidOf(signature))) continue;
      hangs = true;
      break;
    }
  } finally {
    for (const connection of connections.values()) connection.end();
    await databases.cleanUp(item).catch(() => undefined);
  }
  const attackers = [...connections].filter(([name]) => name !== VICTIM);
  return { messages: attackers.flatMap(([, { messages }]) => messages), hangs, tookMs: Date.now() - startedMs };
}
