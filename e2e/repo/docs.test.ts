import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { REASON_CODES } from '#crds/policy/verdict.ts';
import { isOfOurGroup, validateManifest } from '#crds/v1alpha1/validate.ts';
import { anchors, type Block, blocks, commands, documents, links } from './docs.ts';
import { ROOT } from './tree.ts';

const docs = await documents();
const all = [...docs].flatMap(([path, text]) => blocks(path, text));

for (const block of all.filter(({ language }) => language === 'yaml')) {
  test(`${block.path}:${block.line}: the YAML parses, and what is ours is valid`, () => assert.deepEqual(yamlProblems(block), []));
}

function yamlProblems(block: Block): string[] {
  return parseAllDocuments(block.text).flatMap((document) => {
    if (document.errors.length > 0) return document.errors.map(({ message }) => message);
    const manifest: unknown = document.toJS();
    if (!isOfOurGroup(manifest)) return [];
    const result = validateManifest(manifest);
    return result.ok ? [] : result.problems.map(({ path, message }) => `${path}: ${message}`);
  });
}

/**
 * Commands that this test doesn't run, and what does. Commands of `chaperone` need no entry: their options are held against `--help`.
 * `npm run NAME` is held against package.json.
 */
const ELSEWHERE: readonly (readonly [RegExp, string])[] = [
  [/^(KUBECONFIG=\S+ )?npm (test|run [a-z0-9:]+( -- .*)?|ci|sbom)$/, 'the scripts exist (below); .ci/run runs them'],
  [/^git clone \S+/, 'nothing of ours'],
  [/^cd \S+$/, 'nothing of ours'],
  [/^\.ci\/run$/, 'it runs itself'],
  [/^(PG\w+=\S+ )*psql /, 'e2e/clients drives psql'],
  [/^(helm|kubectl|openssl|echo|until|REQUEST=|DECISION=)/, 'e2e/kubernetes/docs.test.ts runs the pages for admins'],
  [/^curl -s http:\/\/127\.0\.0\.1/, 'e2e/demo makes the same request'],
];

for (const block of all.filter(({ language }) => ['console', 'sh', 'bash', 'shell'].includes(language))) {
  test(`${block.path}:${block.line}: the commands exist`, async () => {
    const found = commands(block);
    assert.notEqual(found.length, 0, 'a block of commands has at least one');
    for (const command of found) assert.equal(await commandProblem(command), undefined);
  });
}

async function commandProblem(command: string): Promise<string | undefined> {
  const [, ours] =
    /^(?:npx |(?:\w+=\S+ )*)?chaperone (.*)$/.exec(
      command.replace(/^(node cli\/launch\.mjs|npm run (--silent )?chaperone --) /, 'chaperone '),
    ) ?? [];
  if (ours !== undefined) return helpLacks(ours);
  if (!ELSEWHERE.some(([pattern]) => pattern.test(command))) return `nothing runs or checks: ${command}`;
  const [, script] = /^(?:KUBECONFIG=\S+ )?npm run ([a-z:0-9]+)/.exec(command) ?? [];
  const { scripts } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
  return script === undefined || script in scripts ? undefined : `there is no script ${script}`;
}

/** What `chaperone SUBCOMMAND --help` doesn't know of the command line. */
async function helpLacks(line: string): Promise<string | undefined> {
  const words = line.split(' ');
  const end = words.findIndex((word) => !/^[a-z]+$/.test(word));
  const subcommand = (end < 0 ? words : words.slice(0, end)).slice(0, 2);
  const { stdout } = await promisify(execFile)(process.execPath, [join(ROOT, 'cli/main.ts'), ...subcommand, '--help']);
  const [top] = subcommand;
  if (top !== undefined && !stdout.includes(`chaperone ${top}`)) return `chaperone has no ${top}`;
  const unknown = words.filter((word) => /^--?[a-z]/.test(word)).find((option) => !stdout.includes(option.replace(/=.*/, '')));
  return unknown && `chaperone ${subcommand.join(' ')} has no ${unknown}`;
}

test('links lead somewhere', () => {
  const dead = [...docs].flatMap(([path, text]) =>
    links(text)
      .filter((target) => !leadsSomewhere(path, target))
      .map((target) => `${path}: ${target}`),
  );
  assert.deepEqual(dead, []);
});

function leadsSomewhere(from: string, target: string): boolean {
  if (/^(https:|mailto:)/.test(target)) return URL.canParse(target);
  const [file = '', anchor] = target.split('#');
  const path = file === '' ? from : posix.join(posix.dirname(from), file);
  if (!existsSync(join(ROOT, path))) return false;
  return anchor === undefined || anchors(docs.get(path) ?? '').includes(anchor);
}

test('docs/reasons.md lists every reason code, and no other', () => {
  const listed = [...(docs.get('docs/reasons.md') ?? '').matchAll(/^\| `(\w+)` \|/gm)].map(([, code = '']) => code);
  assert.deepEqual(listed.toSorted(), REASON_CODES.toSorted());
});

test('docs/threat-model.md names attacks for each threat, by their numbers', async () => {
  const text = docs.get('docs/threat-model.md') ?? '';
  const sections = text.split(/^## (?=4\.\d+ )/m).slice(1);
  assert.deepEqual(
    sections.map((section) => section.slice(0, section.indexOf(' '))),
    Array.from({ length: 15 }, (_, i) => `4.${i + 1}`),
  );
  for (const section of sections) assert.deepEqual(await threatProblems(section), []);
  assert.notDeepEqual(await threatProblems('4.99 New\n[a](../e2e/kubernetes/attacks/network.ts)'), []);
  assert.notDeepEqual(await threatProblems('4.1 Direct\n[a](../e2e/kubernetes/agent.test.ts)'), []);
});

/** Each threat has an attack, and each attack a test of its number in the file that is linked. */
async function threatProblems(section: string): Promise<string[]> {
  const number = section.slice(0, section.indexOf(' '));
  const attacks = links(section).filter((target) => target.startsWith('../e2e/kubernetes/attacks/'));
  const found = await Promise.all(
    attacks.map(async (target) => {
      const code = await readFile(join(ROOT, 'docs', target), 'utf8');
      return new RegExp(`\\b(it|describe)\\(\\s*['"\`]${number.replace('.', '\\.')} `).test(code)
        ? []
        : [`${target} has no test named ${number}`];
    }),
  );
  return [...found.flat(), ...(attacks.length === 0 ? [`${number} has no attack`] : [])];
}

test('what is wrong in a document is caught', async () => {
  const yaml = { path: 'x.md', line: 1, language: 'yaml' };
  assert.notDeepEqual(
    yamlProblems({
      ...yaml,
      text: 'apiVersion: chaperone.dev/v1alpha1\nkind: AccessPolicy\nmetadata: {name: x, namespace: y}\nspec: {nonsense: 1}',
    }),
    [],
  );
  assert.notDeepEqual(yamlProblems({ ...yaml, text: 'a: [1' }), []);
  assert.deepEqual(yamlProblems({ ...yaml, text: 'apiVersion: v1\nkind: Secret' }), []);
  assert.match((await commandProblem('curl example.com')) ?? '', /nothing runs or checks/);
  assert.match((await commandProblem('npm run nothing')) ?? '', /no script nothing/);
  assert.equal(leadsSomewhere('README.md', 'docs/nothing.md'), false);
  assert.equal(leadsSomewhere('docs/reasons.md', '#nothing'), false);
  assert.equal(leadsSomewhere('docs/reasons.md', '../docs/reasons.md#why-a-verdict-was-made'), true);
  assert.throws(() => blocks('x.md', '```sh\nls\n'), /no end/);
  assert.deepEqual(commands({ path: '', line: 1, language: 'console', text: '$ a \\\n  b # why\noutput\n' }), ['a b']);
});
