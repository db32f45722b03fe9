/**
 * Writes crds/gen: the code of crds/proto and of Envoy's discovery service, whose .proto files come inside @grpc/grpc-js-xds.
 * With `--check` it writes nothing, names what has drifted, and fails. Plain JavaScript with types: what the generator writes as TypeScript has enums.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const GENERATED = join(ROOT, 'crds/gen');
const MODULES = join(ROOT, 'node_modules');
/** Folders whose files import each other by path. */
const IMPORTED = [
  ['envoy-api', 'envoy'],
  ['xds', 'udpa'],
  ['xds', 'xds'],
  ['protoc-gen-validate', 'validate'],
  ['googleapis', 'google'],
] as const;
const WANTED = ['chaperone', 'envoy/service/discovery/v3/ads.proto'];

/** Path below crds/gen to content. Throws where the generator fails. */
function generate(): ReadonlyMap<string, string> {
  const work = mkdtempSync(join(tmpdir(), 'chaperone-proto-'));
  try {
    cpSync(join(ROOT, 'crds/proto/chaperone'), join(work, 'in/chaperone'), { recursive: true });
    for (const [from, folder] of IMPORTED) {
      cpSync(join(MODULES, '@grpc/grpc-js-xds/deps', from, folder), join(work, 'in', folder), { recursive: true });
    }
    writeFileSync(join(work, 'in/buf.yaml'), 'version: v2\n');
    const plugin = [process.execPath, join(MODULES, '@bufbuild/protoc-gen-es/bin/protoc-gen-es')];
    const template = {
      version: 'v2',
      plugins: [{ local: plugin, out: 'out', opt: ['target=js+dts', 'import_extension=js'], include_imports: true }],
      inputs: [{ directory: 'in', paths: WANTED.map((path) => `in/${path}`) }],
    };
    writeFileSync(join(work, 'buf.gen.yaml'), JSON.stringify(template));
    const buf = createRequire(import.meta.url).resolve(`@bufbuild/buf-${process.platform}-${process.arch}/bin/buf`);
    const env = { HOME: work, BUF_CACHE_DIR: join(work, 'cache') };
    const { status, stderr } = spawnSync(buf, ['generate'], { cwd: work, encoding: 'utf8', env });
    if (status !== 0) throw new Error(`buf generate: ${stderr}`);
    return filesBelow(join(work, 'out'));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function filesBelow(folder: string): ReadonlyMap<string, string> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return new Map(
    entries.map(({ parentPath, name }) => {
      const path = join(parentPath, name);
      return [relative(folder, path), readFileSync(path, 'utf8')] as const;
    }),
  );
}

function main(check: boolean): number {
  const wanted = generate();
  mkdirSync(GENERATED, { recursive: true });
  const found = filesBelow(GENERATED);
  if (check) {
    const drifted = [...new Set([...wanted.keys(), ...found.keys()])].filter((path) => wanted.get(path) !== found.get(path));
    for (const path of drifted) console.error(`crds/gen/${path} is out of date: run \`npm run generate\``);
    return drifted.length === 0 ? 0 : 1;
  }
  rmSync(GENERATED, { recursive: true, force: true });
  for (const [path, content] of wanted) {
    mkdirSync(join(GENERATED, path, '..'), { recursive: true });
    writeFileSync(join(GENERATED, path), content);
  }
  console.log(`wrote ${wanted.size} files below crds/gen`);
  return 0;
}

if (import.meta.main) process.exitCode = main(process.argv.includes('--check'));
