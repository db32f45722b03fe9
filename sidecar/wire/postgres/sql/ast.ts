/** Small readers of the parser's JSON. Nothing here trusts a shape: what is missing reads as empty. */
export type Fields = Readonly<Record<string, unknown>>;

const NONE: Fields = Object.freeze({});

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function fields(value: unknown): Fields {
  return isFields(value) ? value : NONE;
}

export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

export function numeric(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}

/** `{ SelectStmt: {…} }` gives its type and its fields; null for anything else. Only node types begin with a capital. */
export function unwrap(value: unknown): { readonly type: string; readonly node: Fields } | null {
  if (!isFields(value)) return null;
  let type: string | null = null;
  for (const key in value) {
    if (type !== null) return null;
    type = key;
  }
  if (type === null || !isCapital(type.charCodeAt(0))) return null;
  const node = value[type];
  return isFields(node) ? { type, node } : null;
}

/** The fields of a node of that type, or null. */
export function asNode(value: unknown, type: string): Fields | null {
  const found = unwrap(value);
  return found !== null && found.type === type ? found.node : null;
}

/** A list of String nodes, as names are given; other nodes (A_Star) read as `*`. */
export function names(value: unknown): readonly string[] {
  return list(value).map((item) => {
    const string = asNode(item, 'String');
    return string === null ? '*' : text(string.sval);
  });
}

/** The text of a constant as SQL gives it: string, number, boolean or bit string. Null for NULL and for what is no constant. */
export function constant(value: unknown): string | null {
  const node = asNode(value, 'A_Const');
  if (node === null) return null;
  if (isFields(node.sval)) return text(node.sval.sval);
  if (isFields(node.ival)) return String(numeric(node.ival.ival));
  if (isFields(node.fval)) return text(node.fval.fval);
  if (isFields(node.boolval)) return node.boolval.boolval === true ? 'true' : 'false';
  if (isFields(node.bsval)) return text(node.bsval.bsval);
  return null;
}

function isCapital(code: number): boolean {
  return code >= 65 && code <= 90;
}
