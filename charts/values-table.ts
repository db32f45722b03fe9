import { isMap, isNode, isScalar, parseDocument, type YAMLMap } from 'yaml';

interface Value {
  readonly path: string;
  readonly fallback: string;
  readonly description: string;
}

/** The Markdown table of a values.yaml. Every value needs a comment `# -- what it does`, its own or that of the map that it is in. */
export function valuesTable(text: string): string {
  const { contents } = parseDocument(text);
  if (!isMap(contents)) throw new Error('values.yaml is not a map');
  const rows = valuesOf(contents, '').map(({ path, fallback, description }) => `| \`${path}\` | \`${fallback}\` | ${description} |`);
  return ['| value | default | what it does |', '| --- | --- | --- |', ...rows].join('\n');
}

function valuesOf(map: YAMLMap, prefix: string): Value[] {
  return map.items.flatMap(({ key, value }, i) => {
    if (!isScalar(key)) throw new Error(`a key under ${prefix} is not plain text`);
    const path = `${prefix}${String(key.value)}`;
    // The parser gives the comment before a map's first key to the map.
    const description = descriptionIn(key.commentBefore ?? (i === 0 ? map.commentBefore : null));
    if (description !== null) return [{ path, fallback: JSON.stringify(isNode(value) ? value.toJSON() : value), description }];
    if (isMap(value) && value.items.length > 0) return valuesOf(value, `${path}.`);
    throw new Error(`${path} is not documented: write a comment that starts with -- above it`);
  });
}

function descriptionIn(comment: string | null | undefined): string | null {
  const lines = (comment ?? '').split('\n').map((line) => line.trim());
  const start = lines.findLastIndex((line) => line.startsWith('-- '));
  if (start < 0) return null;
  return lines.slice(start).join(' ').slice(3).trim().replaceAll('|', '\\|');
}
