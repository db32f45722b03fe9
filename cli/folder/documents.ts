import { type Document, isMap, isScalar, isSeq, LineCounter, type Node, parseAllDocuments, visit } from 'yaml';

/** What is wrong, and where a person finds it. */
export interface FileProblem {
  readonly file: string;
  /** From 1; 0 where it is about the file as a whole. */
  readonly line: number;
  /** `spec.rules[0].action`; empty for an object or a file as a whole. */
  readonly field: string;
  readonly message: string;
}

/** One object of a file, with the way back to its lines. */
export interface FileDocument {
  readonly file: string;
  readonly value: unknown;
  /** Line of a field, or of the nearest thing around it that is there. */
  lineOf(field: string): number;
}

export interface ReadDocuments {
  readonly documents: readonly FileDocument[];
  readonly problems: readonly FileProblem[];
}

const MAX_DOCUMENTS = 2000;

/**
 * YAML 1.2 (so JSON too), core schema, many documents a file. Anchors and aliases, tags and duplicate keys are refused: a manifest that Kubernetes
 * reads needs none, and an alias can stand for gigabytes.
 */
export function readDocuments(file: string, text: string): ReadDocuments {
  const problem = (line: number, message: string): FileProblem => ({ file, line, field: '', message });
  if (text.trim() === '') return { documents: [], problems: [problem(0, 'the file is empty; delete it to remove what was in it')] };
  const lines = new LineCounter();
  try {
    const parsed = parseAllDocuments(text, { lineCounter: lines, version: '1.2', uniqueKeys: true, prettyErrors: false });
    if (!Array.isArray(parsed)) return { documents: [], problems: [] };
    if (parsed.length > MAX_DOCUMENTS) return { documents: [], problems: [problem(0, `more than ${MAX_DOCUMENTS} documents`)] };
    const problems = parsed.flatMap((document) => syntaxProblems(document, lines).map(({ line, message }) => problem(line, message)));
    if (problems.length > 0) return { documents: [], problems };
    const documents = parsed.flatMap((document): FileDocument[] => {
      const value: unknown = document.toJS({ maxAliasCount: 0 });
      return value === null ? [] : [{ file, value, lineOf: (field) => lineOf(document, field, lines) }];
    });
    return { documents, problems: [] };
  } catch (error) {
    return { documents: [], problems: [problem(0, error instanceof RangeError ? 'nested too deeply' : 'can not be read as YAML')] };
  }
}

function syntaxProblems(document: Document.Parsed, lines: LineCounter): { readonly line: number; readonly message: string }[] {
  const at = (offset: number) => lines.linePos(offset).line;
  const found = [...document.errors, ...document.warnings].map((error) => ({ line: at(error.pos[0]), message: firstLine(error.message) }));
  visit(document, {
    Node(_key, node) {
      if ('anchor' in node && typeof node.anchor === 'string')
        found.push({ line: at(node.range?.[0] ?? 0), message: 'anchors are not read' });
    },
    Alias(_key, node) {
      found.push({ line: at(node.range?.[0] ?? 0), message: 'aliases are not read' });
    },
  });
  return found;
}

const firstLine = (message: string) => (/call stack/.test(message) ? 'nested too deeply' : (message.split('\n')[0] ?? message));

function lineOf(document: Document.Parsed, field: string, lines: LineCounter): number {
  let node: Node | null = document.contents;
  let offset = node?.range?.[0] ?? 0;
  for (const step of stepsOf(field)) {
    const found = child(node, step);
    if (found === null) break;
    node = found.node;
    offset = found.offset;
  }
  return lines.linePos(offset).line;
}

/** `spec.rules[0].name` and `metadata.labels["a.b"]`. */
function stepsOf(field: string): (string | number)[] {
  return [...field.matchAll(/\[(\d+)\]|\["([^"]*)"\]|([^.[\]]+)/g)].map(([, index, quoted, name]) =>
    index !== undefined ? Number(index) : (quoted ?? name ?? ''),
  );
}

function child(node: Node | null, step: string | number): { readonly node: Node | null; readonly offset: number } | null {
  if (isSeq<Node>(node) && typeof step === 'number') {
    const item = node.items[step];
    return item === undefined ? null : { node: item, offset: item.range?.[0] ?? 0 };
  }
  if (!isMap<Node, Node | null>(node)) return null;
  const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step));
  return pair === undefined ? null : { node: pair.value ?? null, offset: pair.key.range?.[0] ?? 0 };
}
