/** The files that decide, and the folders whose tests speak for them. */
import { glob } from 'node:fs/promises';
import { ROOT } from '../repo/tree.ts';

interface Part {
  readonly files: readonly string[];
  readonly tests: readonly string[];
}

const PARTS: readonly Part[] = [
  { files: ['sidecar/decide/decide.ts'], tests: ['sidecar/decide'] },
  {
    files: [
      'weigh',
      'match-sql',
      'match-http',
      'rule',
      'judge',
      'glob',
      'subject',
      'masking',
      'window',
      'quorum',
      'vote',
      'people',
      'rule-sets',
    ].map((name) => `crds/policy/${name}.ts`),
    tests: ['crds/policy'],
  },
  {
    files: [
      'sidecar/wire/postgres/{frame,splitter,limits,budget}.ts',
      'sidecar/wire/postgres/messages/{body,startup_options,startup_parameters}.ts',
    ],
    tests: ['sidecar/wire/postgres'],
  },
  {
    files: ['sidecar/wire/postgres/sql/{parse,settings,statements,walk,nodes,effects}.ts'],
    tests: ['sidecar/wire/postgres', 'sidecar/mask/postgres'],
  },
  {
    files: ['sidecar/mask/postgres/{vet*,rewrite*,resolve,world,statement-effects,function-effects,analyse-facts}.ts'],
    tests: ['sidecar/mask/postgres'],
  },
  {
    files: ['sidecar/protocols/postgres/{judge,guard,guard-rules,frontend,extended,names,expect}.ts'],
    tests: ['sidecar/protocols/postgres'],
  },
];

export interface Subject {
  readonly file: string;
  readonly tests: readonly string[];
}

/** In the order of the parts, then by name. */
export async function subjects(): Promise<Subject[]> {
  const found: Subject[] = [];
  for (const part of PARTS) {
    const tests = (await matching(part.tests.map((folder) => `${folder}/**/*.test.ts`))).sort();
    const files = (await matching(part.files)).filter((file) => !file.endsWith('.test.ts')).sort();
    found.push(...files.map((file) => ({ file, tests })));
  }
  return found;
}

function matching(patterns: readonly string[]): Promise<string[]> {
  return Array.fromAsync(glob([...patterns], { cwd: ROOT }));
}
