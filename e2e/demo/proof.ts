import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chaperone } from './chaperone.ts';
import { block, check, heading, line, typed } from './say.ts';
import { CUSTOMERS } from './stage.ts';
import type { Stage } from './stay.ts';

interface Listed {
  readonly session: string;
}

async function filesUnder(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

/** The recording: read it, prove it, break it. */
export async function showProof(stage: Stage, exitCode: number): Promise<void> {
  const { state } = stage;
  heading('The sidecar stops; the recording proves itself');
  check('SIGTERM drained it: exit 0', exitCode === 0);
  typed('chaperone sessions ls');
  const listed = await chaperone(['sessions', 'ls', '--state', state]);
  block(listed.stdout);
  const sessions = JSON.parse((await chaperone(['sessions', 'ls', '--state', state, '-o', 'json'])).stdout) as
    | { sessions?: Listed[] }
    | Listed[];
  const ids = (Array.isArray(sessions) ? sessions : (sessions.sessions ?? [])).map((item) => item.session);
  check('every session is there', ids.length >= 4);
  const replays = await Promise.all(ids.map((id) => chaperone(['sessions', 'replay', id, '--state', state, '--speed', '0'])));
  const held = replays.find((replay) => /UPDATE orders/.test(replay.stdout));
  typed('chaperone sessions replay …   (the one with the UPDATE)');
  block(held?.stdout ?? 'not found');
  check('the UPDATE, its hold, who approved it', held !== undefined && /bob/.test(held.stdout));
  typed('chaperone sessions verify');
  const verified = await chaperone(['sessions', 'verify', '--state', state]);
  block(verified.stdout);
  check('it verifies', verified.code === 0);
  await showTampering(stage, ids);
  const all = await Promise.all((await filesUnder(state)).map((file) => readFile(file, 'latin1')));
  const replayed = replays.map((replay) => replay.stdout).join('\n');
  const secrets = [stage.secrets.password, stage.secrets.token, ...CUSTOMERS.flatMap((c) => [c.email, c.card, c.ssn])];
  check(
    'no credential and no masked value in the state folder',
    !secrets.some((secret) => replayed.includes(secret) || all.some((text) => text.includes(secret))),
  );
}

async function showTampering(stage: Stage, ids: readonly string[]): Promise<void> {
  heading('A copy is tampered with');
  const copy = join(stage.folder, 'tampered');
  await cp(stage.state, copy, { recursive: true });
  const segment = (await filesUnder(copy)).find((file) => file.includes(ids[0] ?? '') && file.endsWith('.zst'));
  if (segment === undefined) return check('there is a segment to tamper with', false);
  const bytes = await readFile(segment);
  const at = Math.floor(bytes.length / 2);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await writeFile(segment, bytes);
  line('One bit of one segment is flipped:');
  const flipped = await chaperone(['sessions', 'verify', '--state', copy]);
  block(flipped.stdout + flipped.stderr);
  check('the verifier catches it and names the session', flipped.code !== 0 && (flipped.stdout + flipped.stderr).includes(ids[0] ?? '-'));

  await rm(copy, { recursive: true });
  await cp(stage.state, copy, { recursive: true });
  const folder = (await filesUnder(copy)).find((file) => file.includes(`session=${ids[0]}`));
  if (folder !== undefined) await rm(join(folder, '..'), { recursive: true });
  line('A whole session is removed:');
  const removed = await chaperone(['sessions', 'verify', '--state', copy]);
  block(removed.stdout + removed.stderr);
  check('the ledger misses it', removed.code !== 0 && (removed.stdout + removed.stderr).includes(ids[0] ?? '-'));
}
