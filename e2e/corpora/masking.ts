/** The sets `masking` (nothing may leak) and `controls` (nothing may change), through a sidecar with the reference policy. */
import { type CaseResult, lacksModule, type MaskingOptions, readCases } from './case.ts';
import { Databases } from './databases.ts';
import { type MaskingCase, type Step, stepsOf } from './masking-case.ts';
import { play } from './play.ts';
import { startReference } from './reference.ts';
import { differenceOf, errorsOf, linesOf, secretsIn, type Transcript } from './transcript.ts';

const MASKING = 'pg-masking-corpus.jsonl';
const CONTROLS = 'pg-masking-controls.jsonl';

interface Stage {
  readonly databases: Databases;
  /** The sidecar's, or the server's own. */
  readonly port: number;
  readonly options: MaskingOptions;
}

type Judge = (stage: Stage, item: MaskingCase) => Promise<string | null>;

export function runMasking(options: MaskingOptions): AsyncGenerator<CaseResult> {
  return runSet('masking', MASKING, options, options.withoutSidecar ? noLeakOf : leakOf);
}

export function runControls(options: MaskingOptions): AsyncGenerator<CaseResult> {
  return runSet('controls', CONTROLS, options, changeOf);
}

async function* runSet(set: string, file: string, options: MaskingOptions, judge: Judge): AsyncGenerator<CaseResult> {
  const items = await readCases<MaskingCase>(options, file);
  if (items.length === 0) return;
  const databases = await Databases.start(options.cases, options.assurance, options.postgres);
  if (databases === null)
    throw new Error(
      `the masking cases need PostgreSQL ${options.postgres} with its contributed modules: Debian has those of 15 in postgresql-15`,
    );
  try {
    const reference = options.withoutSidecar ? null : await startReference(databases, options);
    const stage: Stage = { databases, port: reference?.portOf('db') ?? databases.server.port, options };
    try {
      for (const item of items) yield { set, id: item.id, category: item.class ?? item.category, ...(await outcomeOf(judge, stage, item)) };
    } finally {
      await reference?.stop();
    }
  } finally {
    await databases.stop();
  }
}

async function outcomeOf(judge: Judge, stage: Stage, item: MaskingCase): Promise<Pick<CaseResult, 'problem' | 'leftOut'>> {
  try {
    return { problem: await judge(stage, item) };
  } catch (error) {
    if (lacksModule(error)) return { problem: null, leftOut: true };
    return { problem: `could not be run: ${error instanceof Error ? error.message : String(error)}` };
  }
}

/** What of a secret came out. */
async function leakOf({ databases, port, options }: Stage, item: MaskingCase): Promise<string | null> {
  const through = (template: 'a' | 'b', steps: readonly Step[] = stepsOf(item)) => play(databases, port, item, template, steps);
  if (item.pair !== undefined) return guessOf(item, through);
  const seen = await through('a');
  const secrets = secretsIn(seen, item.mustNotLeak, item.mustNotLeakHex);
  if (secrets.length > 0) return `shows ${secrets.map((secret) => JSON.stringify(secret)).join(', ')}`;
  if (seen.hangs) return hanging(seen);
  if (!options.twin && item.twinOracle !== true) return null;
  return twinsDiffer(seen, through);
}

/** Whether twins can be told apart. What differs from run to run of the same one tells nothing: a twin that is like one of its runs is like it. */
async function twinsDiffer(seen: Transcript, through: (template: 'a' | 'b') => Promise<Transcript>): Promise<string | null> {
  const twin = await through('b');
  const difference = differenceOf(linesOf(seen), linesOf(twin));
  if (difference === null) return twin.hangs ? hanging(twin) : null;
  const again = await through('a');
  if (differenceOf(linesOf(again), linesOf(twin)) === null) return null;
  const itself = differenceOf(linesOf(seen), linesOf(again));
  if (itself === null) return `twins differ: ${difference}`;
  const other = linesOf(await through('b'));
  if ([seen, again].some((run) => differenceOf(linesOf(run), other) === null)) return null;
  return `differs from run to run, so that twins can not be compared: ${itself}`;
}

async function noLeakOf(stage: Stage, item: MaskingCase): Promise<string | null> {
  return (await leakOf(stage, item)) === null ? 'does not leak without the sidecar' : null;
}

/** A pair of guesses: the right one may not be told from the wrong one. */
async function guessOf(item: MaskingCase, through: (template: 'a', steps: readonly Step[]) => Promise<Transcript>): Promise<string | null> {
  const both = async (): Promise<[Transcript, Transcript]> => {
    const [right = item.sql, wrong = item.sql] = item.pair ?? [];
    const steps = item.pairSteps ?? [stepsOf({ ...item, sql: right }), stepsOf({ ...item, sql: wrong })];
    return [await through('a', steps[0]), await through('a', steps[1])];
  };
  const [right, wrong] = await both();
  const hung = [right, wrong].find(({ hangs }) => hangs);
  if (hung !== undefined) return hanging(hung);
  const { timing, guesses = [] } = item;
  if (timing === undefined) {
    const difference = differenceOf(linesOf(right, guesses), linesOf(wrong, guesses));
    return difference === null ? null : `guesses differ: ${difference}`;
  }
  const slower = ([one, other]: readonly [Transcript, Transcript]) => Math.abs(one.tookMs - other.tookMs) > timing / 2;
  // Once may be the machine.
  return slower([right, wrong]) && slower(await both()) ? `guesses differ in time: ${right.tookMs} ms and ${wrong.tookMs} ms` : null;
}

/** In what the sidecar shows. */
async function changeOf({ databases, port }: Stage, item: MaskingCase): Promise<string | null> {
  const direct = await play(databases, databases.server.port, item, 'a');
  const seen = await play(databases, port, item, 'a');
  if (seen.hangs) return hanging(seen);
  const difference = differenceOf(linesOf(direct), linesOf(seen));
  return difference === null ? null : `direct and through the sidecar differ: ${difference}`;
}

function hanging(transcript: Transcript): string {
  return `hangs after ${transcript.messages.length} messages${errorsOf(transcript)
    .map((error) => `; ${error}`)
    .join('')}`;
}
