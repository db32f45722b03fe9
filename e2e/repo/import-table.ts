import { builtinModules } from 'node:module';
import { posix } from 'node:path';
import { type ModuleUse, moduleUses } from './imports.ts';
import { isTest } from './tree.ts';

/** What the files of one folder may import beside files of that same folder. */
export interface Row {
  /** A folder, or one file. The longest that fits a path is the one that counts. */
  readonly of: string;
  /** Folders and files of this tree. */
  readonly tree: readonly string[];
  /** npm packages. */
  readonly packages: readonly string[];
  /** Node's own modules, without `node:`. */
  readonly node: readonly string[];
}

const CONTRACT = ['crds/policy', 'crds/record', 'crds/v1alpha1', 'crds/control', 'crds/gen'];
const STAGE = [...CONTRACT, 'sidecar/pipeline.ts', 'sidecar/permit.ts', 'sidecar/wire', 'sidecar/transport', 'sidecar/system'];
const FILES = ['crypto', 'fs', 'fs/promises', 'os', 'path', 'url'];
const BYTES = ['buffer', 'stream', 'stream/promises', 'timers', 'timers/promises', 'util', 'zlib', 'events'];
const SOCKETS = ['net', 'tls', 'http', 'https', 'dns', 'dns/promises'];
const EVERY_NODE = builtinModules.filter((name) => !name.startsWith('_'));

/** DESIGN's table. The folders under `crds` and the stages of the sidecar are pure or nearly so; what joins them comes last. */
export const TABLE: readonly Row[] = [
  { of: 'crds', tree: [], packages: ['typebox', '@bufbuild/cel', 're2js', '@bufbuild/protobuf'], node: [] },
  { of: 'crds/generate.ts', tree: ['crds'], packages: ['yaml'], node: FILES },
  { of: 'crds/generated.ts', tree: [], packages: [], node: FILES },
  { of: 'crds/generate-proto.ts', tree: [], packages: [], node: [...FILES, 'child_process', 'module'] },

  { of: 'sidecar/pipeline.ts', tree: [...CONTRACT, 'sidecar/permit.ts'], packages: [], node: ['net', 'stream'] },
  { of: 'sidecar/permit.ts', tree: CONTRACT, packages: [], node: [] },
  { of: 'sidecar/wire', tree: ['crds/policy/action.ts'], packages: [], node: ['buffer'] },
  { of: 'sidecar/wire/postgres', tree: ['crds/policy/action.ts'], packages: ['libpg-query'], node: ['buffer'] },
  { of: 'sidecar/transport', tree: ['sidecar/system'], packages: [], node: [...BYTES, ...SOCKETS] },
  // What Node has no call for, through the C library.
  { of: 'sidecar/system', tree: [], packages: ['koffi'], node: ['crypto', 'fs', 'fs/promises', 'module', 'net', 'os', 'worker_threads'] },
  { of: 'sidecar/listener', tree: STAGE, packages: [], node: [...BYTES, ...FILES, ...SOCKETS] },
  { of: 'sidecar/identity', tree: STAGE, packages: ['jose'], node: [...BYTES, ...FILES] },
  { of: 'sidecar/decide', tree: STAGE, packages: [], node: [] },
  { of: 'sidecar/record', tree: STAGE, packages: [], node: [...BYTES, ...FILES, 'http', 'https', 'sqlite'] },
  { of: 'sidecar/upstream', tree: STAGE, packages: [], node: [...BYTES, ...FILES, ...SOCKETS] },
  {
    of: 'sidecar/confine',
    tree: [...STAGE, 'sidecar/listener'],
    packages: [],
    node: [...BYTES, ...FILES, ...SOCKETS, 'dgram', 'child_process'],
  },
  { of: 'sidecar/mask', tree: STAGE, packages: ['libpg-query', 're2js'], node: ['buffer', 'crypto'] },
  { of: 'sidecar/approvals', tree: STAGE, packages: [], node: [...BYTES, ...FILES, ...SOCKETS] },
  {
    of: 'sidecar/control',
    tree: [...STAGE, 'sidecar/listener/der.ts'],
    packages: ['@grpc/grpc-js', '@bufbuild/protobuf', '@peculiar/x509'],
    node: [...BYTES, ...FILES, ...SOCKETS],
  },
  { of: 'sidecar/policy', tree: STAGE, packages: [], node: [...BYTES, ...FILES] },
  { of: 'sidecar/telemetry', tree: STAGE, packages: ['pino'], node: [...BYTES, ...FILES, ...SOCKETS, 'perf_hooks'] },
  { of: 'sidecar/protocols', tree: [...CONTRACT, 'sidecar'], packages: [], node: [...BYTES, ...SOCKETS, 'crypto'] },
  { of: 'sidecar/start.ts', tree: [...CONTRACT, 'sidecar'], packages: [], node: [...BYTES, ...FILES, ...SOCKETS] },
  { of: 'sidecar/start', tree: [...CONTRACT, 'sidecar'], packages: [], node: [...BYTES, ...FILES, ...SOCKETS] },
  { of: 'sidecar/main.ts', tree: [...CONTRACT, 'sidecar'], packages: [], node: EVERY_NODE },

  { of: 'operator/compile', tree: CONTRACT, packages: [], node: [] },
  // The only importer of a Kubernetes client.
  { of: 'operator/kube', tree: [...CONTRACT], packages: ['@kubernetes/client-node'], node: EVERY_NODE },
  {
    of: 'operator/pki',
    tree: [...CONTRACT, 'operator/kube'],
    packages: ['@peculiar/x509', 'reflect-metadata'],
    node: [...BYTES, 'crypto', 'net'],
  },
  { of: 'operator/distribute', tree: [...CONTRACT, 'operator'], packages: ['@grpc/grpc-js', '@bufbuild/protobuf'], node: EVERY_NODE },
  {
    of: 'operator/records',
    tree: [...CONTRACT, 'operator'],
    packages: ['@aws-sdk/client-s3', '@aws-sdk/s3-request-presigner'],
    node: EVERY_NODE,
  },
  { of: 'operator/telemetry', tree: [...CONTRACT, 'operator'], packages: ['pino', 'prom-client'], node: EVERY_NODE },
  { of: 'operator', tree: [...CONTRACT, 'operator'], packages: [], node: EVERY_NODE },

  {
    of: 'cli',
    tree: [...CONTRACT, 'sidecar', 'operator'],
    packages: ['commander', 'yaml', 'jose', 'pino', 'kubernetes-fluent-client', '@kubernetes/client-node', '@aws-sdk/client-s3'],
    node: EVERY_NODE,
  },
  { of: 'cli/launch.mjs', tree: [], packages: [], node: EVERY_NODE },

  {
    of: 'e2e',
    tree: ['crds', 'sidecar', 'operator', 'cli', 'bench'],
    packages: [
      'pg',
      'postgres',
      'drizzle-orm',
      'yaml',
      'oxc-parser',
      'esbuild',
      'jose',
      'ajv',
      '@kubernetes/client-node',
      'kubernetes-fluent-client',
      '@aws-sdk/client-s3',
      '@grpc/grpc-js',
      '@bufbuild/protobuf',
    ],
    node: EVERY_NODE,
  },
  { of: 'charts', tree: ['crds', 'operator/admission'], packages: ['yaml'], node: FILES },
  // Tests in parts: one stage for all of them.
  { of: 'e2e/kubernetes/attacks', tree: ['crds', 'e2e'], packages: [], node: [...EVERY_NODE, 'test'] },
  { of: 'bench', tree: ['crds', 'sidecar', 'operator', 'cli', 'e2e', 'dist'], packages: ['pg', 'yaml'], node: EVERY_NODE },
  { of: 'examples', tree: ['crds'], packages: ['pg'], node: EVERY_NODE },
];

/** Exports that only one folder may use: a Permit is proof because nobody else can make one. */
const RESERVED = [
  { file: 'sidecar/permit.ts', name: 'makePermit', only: 'sidecar/decide' },
  { file: 'sidecar/permit.ts', name: 'recorded', only: 'sidecar/record' },
];

/** What breaks the table, as `path:line: what`. `files` are the TypeScript files of the tree by path. */
export function violations(files: ReadonlyMap<string, string>): string[] {
  const found: string[] = [];
  for (const [path, text] of files) {
    for (const use of moduleUses(path, text)) {
      const what = whatIsWrong(path, use);
      if (what) found.push(`${path}:${use.line}: ${what}`);
    }
  }
  return found;
}

function whatIsWrong(path: string, use: ModuleUse): string | undefined {
  const target = resolve(path, use.specifier);
  const startsIt = use.kind === 'file' && (isTest(path) || /^(e2e|bench)\//.test(path));
  if (/(^|\/)main\.ts$/.test(target)) return startsIt ? undefined : `${target} is an entry point and imported by nothing`;
  if (isTest(path)) return undefined;
  const row = rowOf(path);
  if (row === undefined) return 'this folder is not in the import table';
  if (use.specifier === 'computed')
    return ['cli/launch.mjs', 'e2e', 'bench'].includes(row.of) ? undefined : 'the name of a module has to be a plain string';
  if (use.kind === 'file' && !/\.m?[jt]s$/.test(target)) return undefined;
  if (use.specifier.startsWith('node:'))
    return row.node.includes(use.specifier.slice(5)) ? undefined : `${row.of} may not import ${use.specifier}`;
  if (!/^[.#]/.test(use.specifier))
    return isAllowedPackage(row, use.specifier) ? undefined : `${row.of} may not import the package ${use.specifier}`;
  if (isTest(target)) return `${target} is for tests`;
  if (target.startsWith('e2e/') && !/^(e2e|bench)\//.test(path)) return `${target} is for tests`;
  if (!isUnder(target, folderOf(path, row)) && !row.tree.some((folder) => isUnder(target, folder)))
    return `${row.of} may not import ${target}`;
  const reserved = RESERVED.find(
    ({ file, name, only }) => file === target && !isUnder(path, only) && [name, '*'].some((n) => use.names.includes(n)),
  );
  return reserved && `${reserved.name} is for ${reserved.only} alone`;
}

/** The path in the tree for `./x`, `../x` and `#folder/x`; otherwise the specifier itself. */
function resolve(path: string, specifier: string): string {
  if (specifier.startsWith('.')) return posix.join(posix.dirname(path), specifier);
  return specifier.startsWith('#') ? specifier.slice(1) : specifier;
}

function rowOf(path: string): Row | undefined {
  return TABLE.filter((row) => isUnder(path, row.of)).sort((a, b) => b.of.length - a.of.length)[0];
}

/** One protocol's codec is closed to the other's, so the own folder of a wire file is its protocol's. */
function folderOf(path: string, row: Row): string {
  return row.of === 'sidecar/wire' ? path.split('/').slice(0, 3).join('/') : row.of;
}

function isUnder(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}

function isAllowedPackage(row: Row, specifier: string): boolean {
  return row.packages.some((name) => specifier === name || specifier.startsWith(`${name}/`));
}
