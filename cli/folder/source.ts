import type { Snapshot } from '#crds/policy/snapshot.ts';
import { type CompileObject, compile, type ObjectConditions } from '#operator/compile/compile.ts';
import type { Workload } from '#sidecar/pipeline.ts';
import { marksOf, watchFiles } from '#sidecar/policy/watch.ts';
import { readMountedSecrets } from '#sidecar/upstream/credentials/mounted.ts';
import { CredentialError, type Secrets } from '#sidecar/upstream/credentials/store.ts';
import type { FileProblem } from './documents.ts';
import { isManifest } from './files.ts';
import { findingsOf } from './findings.ts';
import { Generations } from './generations.ts';
import { readFolder } from './objects.ts';

export interface FolderOptions {
  readonly manifests: string;
  /** Mounted Secrets: DIR/NAMESPACE/NAME/KEY. They win over Secret manifests of the same name. */
  readonly secrets?: string;
  readonly workload: Workload;
}

/** What a folder says, as a whole: it is taken or refused in one piece, because its objects refer to each other. */
export interface FolderState {
  readonly snapshot: Snapshot;
  readonly objects: readonly CompileObject[];
  readonly conditions: readonly ObjectConditions[];
  readonly secrets: Secrets;
  readonly warnings: readonly FileProblem[];
}

export type FolderRead =
  | { readonly ok: true; readonly state: FolderState }
  | { readonly ok: false; readonly problems: readonly FileProblem[]; readonly warnings: readonly FileProblem[] };

/** Reads, validates and compiles. Never throws. Generations only grow with what is valid. */
export function loadFolder(options: FolderOptions, generations: Generations = new Generations()): FolderRead {
  const content = readFolder(options.manifests);
  const mounted = readMounted(options.secrets);
  const problems = [...content.problems, ...mounted.problems];
  const warnings = [...content.warnings, ...mounted.warnings];
  if (problems.length > 0) return { ok: false, problems, warnings };
  if (content.objects.length === 0) {
    return { ok: false, problems: [{ file: options.manifests, line: 0, field: '', message: 'has no manifest of Chaperone' }], warnings };
  }
  const objects = generations.stamp(content.objects.map(({ object }) => object));
  const { snapshot, conditions } = compile(objects, options.workload);
  const secrets = new Map([...content.secrets, ...mounted.secrets]);
  const found = findingsOf(conditions, content.objects);
  warnings.push(...found.warnings);
  if (found.problems.length > 0) return { ok: false, problems: found.problems, warnings };
  return { ok: true, state: { snapshot, objects, conditions, secrets, warnings } };
}

function readMounted(dir: string | undefined): {
  readonly secrets: Secrets;
  readonly problems: readonly FileProblem[];
  readonly warnings: readonly FileProblem[];
} {
  if (dir === undefined) return { secrets: new Map(), problems: [], warnings: [] };
  const about = (file: string, message: string): FileProblem => ({ file, line: 0, field: '', message });
  try {
    const { secrets, worldReadable } = readMountedSecrets(dir);
    return { secrets, problems: [], warnings: worldReadable.map((file) => about(file, 'every user of this machine can read it')) };
  } catch (error) {
    const message = error instanceof CredentialError ? error.message : 'can not be read';
    return { secrets: new Map(), problems: [about(dir, message)], warnings: [] };
  }
}

export interface WatchedFolder {
  close(): void;
}

/** Loads again on every change; `onRead` gets each result, good or not. The caller keeps the last good one. */
export function watchFolder(options: FolderOptions, generations: Generations, onRead: (read: FolderRead) => void): WatchedFolder {
  const { manifests, secrets } = options;
  return watchFiles({
    folders: secrets === undefined ? [manifests] : [manifests, secrets],
    look: () => new Map([...marksOf(manifests, 0, isManifest), ...(secrets === undefined ? [] : marksOf(secrets, 2))]),
    onChange: () => onRead(loadFolder(options, generations)),
  });
}
