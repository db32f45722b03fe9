import type { ChaperoneObject } from '#crds/v1alpha1/kinds.ts';
import { isOfOurGroup, validateManifest } from '#crds/v1alpha1/validate.ts';
import { isSecret, secretOf } from '#sidecar/upstream/credentials/manifest.ts';
import type { SecretData } from '#sidecar/upstream/credentials/store.ts';
import { type FileDocument, type FileProblem, readDocuments } from './documents.ts';
import { readFiles } from './files.ts';

export interface FolderObject {
  readonly object: ChaperoneObject;
  readonly document: FileDocument;
}

export interface FolderContent {
  readonly objects: readonly FolderObject[];
  readonly secrets: ReadonlyMap<string, SecretData>;
  /** Any of these: the folder is not to be used. */
  readonly problems: readonly FileProblem[];
  /** What is not ours and was passed over. */
  readonly warnings: readonly FileProblem[];
  readonly files: number;
}

/** Reads and validates every manifest of a folder. Never throws. */
export function readFolder(dir: string): FolderContent {
  const { files, problems: unread } = readFiles(dir);
  const read = files.map(({ file, text }) => readDocuments(file, text));
  const objects: FolderObject[] = [];
  const secrets = new Map<string, SecretData>();
  const problems: FileProblem[] = [...unread, ...read.flatMap((one) => one.problems)];
  const warnings: FileProblem[] = [];
  const seen = new Map<string, FileDocument>();
  for (const document of read.flatMap((one) => one.documents)) {
    const outcome = takeDocument(document);
    if (outcome.type === 'foreign') warnings.push(outcome.warning);
    if (outcome.type === 'invalid') problems.push(...outcome.problems);
    if (outcome.type === 'foreign' || outcome.type === 'invalid') continue;
    const first = seen.get(outcome.identity);
    if (first !== undefined) {
      problems.push(
        at(document, 'metadata.name', `${outcome.identity} is there twice, first in ${first.file}:${first.lineOf('metadata.name')}`),
      );
      continue;
    }
    seen.set(outcome.identity, document);
    if (outcome.type === 'secret') secrets.set(outcome.key, outcome.data);
    else objects.push({ object: outcome.object, document });
  }
  return { objects, secrets, problems, warnings, files: files.length };
}

type Outcome =
  | { readonly type: 'object'; readonly identity: string; readonly object: ChaperoneObject }
  | { readonly type: 'secret'; readonly identity: string; readonly key: string; readonly data: SecretData }
  | { readonly type: 'foreign'; readonly warning: FileProblem }
  | { readonly type: 'invalid'; readonly problems: readonly FileProblem[] };

function takeDocument(document: FileDocument): Outcome {
  const { value } = document;
  if (isSecret(value)) {
    try {
      const { key, data } = secretOf(value);
      return { type: 'secret', identity: `Secret ${key}`, key, data };
    } catch (error) {
      return { type: 'invalid', problems: [secretProblem(document, error)] };
    }
  }
  if (isForeign(value)) {
    return {
      type: 'foreign',
      warning: at(document, 'kind', `${value.apiVersion} ${value.kind} is none of Chaperone's kinds: passed over`),
    };
  }
  const validation = validateManifest(value);
  if (!validation.ok) return { type: 'invalid', problems: validation.problems.map(({ path, message }) => at(document, path, message)) };
  const { object } = validation;
  return { type: 'object', identity: `${object.kind} ${object.metadata.namespace}/${object.metadata.name}`, object };
}

function isForeign(value: unknown): value is { readonly apiVersion: string; readonly kind: string } {
  if (typeof value !== 'object' || value === null || isOfOurGroup(value)) return false;
  return 'apiVersion' in value && typeof value.apiVersion === 'string' && 'kind' in value && typeof value.kind === 'string';
}

/** `data.password: is not base64` -> field and message. */
function secretProblem(document: FileDocument, error: unknown): FileProblem {
  const text = error instanceof Error ? error.message : 'is not a Secret';
  const [, field, message] = /^((?:data|stringData|metadata)[\w.-]*): (.*)$/.exec(text) ?? [];
  return at(document, field ?? '', message ?? text);
}

const at = (document: FileDocument, field: string, message: string): FileProblem => ({
  file: document.file,
  line: document.lineOf(field),
  field,
  message,
});

/** `policies.yaml:12: spec.rules[0].action: Unsupported value …`. */
export function problemText({ file, line, field, message }: FileProblem): string {
  return [line > 0 ? `${file}:${line}` : file, ...(field === '' ? [] : [field]), message].join(': ');
}
