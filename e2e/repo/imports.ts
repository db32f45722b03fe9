import { parseSync } from 'oxc-parser';

/** One place where a file names another module. */
export interface ModuleUse {
  readonly line: number;
  /** `computed` where the name isn't a plain string: nothing can be said about it then. */
  readonly specifier: string;
  /** `file` for new URL(…, import.meta.url), which may name any file, or load one in a worker. */
  readonly kind: 'module' | 'file';
  /** The names that it takes; `*` for the whole module, also when it is passed on or loaded at run time. */
  readonly names: readonly string[];
}

interface Node {
  readonly type: string;
  readonly start: number;
  readonly [key: string]: unknown;
}

/**
 * Every use of another module in a TypeScript file: import and export statements (types too), import(), import types,
 * require(), import.meta.resolve() and new URL(…, import.meta.url). Throws where the file can't be parsed.
 */
export function moduleUses(path: string, text: string): ModuleUse[] {
  const { program, errors } = parseSync(path, text);
  if (errors.length > 0) throw new SyntaxError(`${path}: ${errors[0]?.message}`);
  const uses: ModuleUse[] = [];
  for (const node of nodesIn(program as unknown as Node)) {
    const found = useOf(node);
    if (found)
      uses.push({ ...found, kind: node.type === 'NewExpression' ? 'file' : 'module', line: text.slice(0, node.start).split('\n').length });
  }
  return uses;
}

function useOf(node: Node): Omit<ModuleUse, 'line' | 'kind'> | undefined {
  const args = (node.arguments ?? []) as Node[];
  switch (node.type) {
    case 'ImportDeclaration':
      return { specifier: text(node.source), names: (node.specifiers as Node[]).map(importedName) };
    case 'ExportNamedDeclaration':
      return node.source ? { specifier: text(node.source), names: (node.specifiers as Node[]).map((s) => nameOf(s.local)) } : undefined;
    case 'ExportAllDeclaration':
    case 'ImportExpression':
    case 'TSImportType':
      return { specifier: text(node.source ?? node.argument), names: ['*'] };
    case 'TSExternalModuleReference':
      return { specifier: text(node.expression), names: ['*'] };
    case 'CallExpression':
      return loadsModule(node.callee as Node) ? { specifier: text(args[0]), names: ['*'] } : undefined;
    case 'NewExpression':
      return nameOf(node.callee) === 'URL' && isImportMetaUrl(args[1]) ? { specifier: text(args[0]), names: ['*'] } : undefined;
    default:
      return undefined;
  }
}

function* nodesIn(node: Node): Generator<Node> {
  yield node;
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (typeof child === 'object' && child !== null && typeof (child as Node).type === 'string') yield* nodesIn(child as Node);
    }
  }
}

function importedName(specifier: Node): string {
  if (specifier.type === 'ImportNamespaceSpecifier') return '*';
  return specifier.type === 'ImportDefaultSpecifier' ? 'default' : nameOf(specifier.imported);
}

/** The text of a string literal, also inside of a type. */
function text(node: unknown): string {
  const literal = ((node as Node | undefined)?.literal ?? node) as Node | undefined;
  return literal?.type === 'Literal' && typeof literal.value === 'string' ? literal.value : 'computed';
}

function nameOf(node: unknown): string {
  const { name, value } = (node ?? {}) as { name?: unknown; value?: unknown };
  return typeof name === 'string' ? name : typeof value === 'string' ? value : '';
}

/** require(), require.resolve(), import.meta.resolve(). createRequire needs no case of its own: what it makes has to be called. */
function loadsModule(callee: Node): boolean {
  if (callee.type === 'Identifier') return callee.name === 'require';
  if (callee.type !== 'MemberExpression' || nameOf(callee.property) !== 'resolve') return false;
  return nameOf(callee.object) === 'require' || (callee.object as Node).type === 'MetaProperty';
}

function isImportMetaUrl(node: Node | undefined): boolean {
  return node?.type === 'MemberExpression' && (node.object as Node).type === 'MetaProperty' && nameOf(node.property) === 'url';
}
