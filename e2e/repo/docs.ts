import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathsInTree, ROOT } from './tree.ts';

export interface Block {
  readonly path: string;
  /** Of the opening fence, from 1. */
  readonly line: number;
  readonly language: string;
  readonly text: string;
}

/** The Markdown files that people read: not those of test data. */
export async function documents(): Promise<Map<string, string>> {
  const paths = (await pathsInTree()).filter((path) => path.endsWith('.md') && !path.includes('testdata/'));
  const texts = await Promise.all(paths.map((path) => readFile(join(ROOT, path), 'utf8')));
  return new Map(paths.map((path, i) => [path, texts[i] ?? '']));
}

/** Fenced code blocks. */
export function blocks(path: string, text: string): Block[] {
  const found: Block[] = [];
  const lines = text.split('\n');
  for (let i = 0; i < lines.length; i++) {
    const [, fence, language] = /^\s*(`{3,}|~{3,})\s*([\w-]*)/.exec(lines[i] ?? '') ?? [];
    if (fence === undefined) continue;
    const end = lines.findIndex((line, j) => j > i && line.trim() === fence);
    if (end < 0) throw new Error(`${path}:${i + 1}: the code block has no end`);
    found.push({ path, line: i + 1, language: language ?? '', text: lines.slice(i + 1, end).join('\n') });
    i = end;
  }
  return found;
}

/** The commands of a `console` block are its lines after `$`; those of `sh` are all lines. A backslash joins lines; comments are left out. */
export function commands(block: Block): string[] {
  const lines = block.text.replaceAll('\\\n', ' ').split('\n');
  const typed = block.language === 'console' ? lines.filter((line) => line.startsWith('$ ')).map((line) => line.slice(2)) : lines;
  return typed
    .map((line) =>
      line
        .replace(/(^|\s)#.*$/, '')
        .replace(/\s+/g, ' ')
        .trim(),
    )
    .filter((line) => line !== '');
}

/** Targets of inline links and images outside of code. */
export function links(text: string): string[] {
  const prose = text.replace(/^\s*(`{3,})[\s\S]*?^\s*\1\s*$/gm, '').replace(/`[^`\n]*`/g, '');
  return [...prose.matchAll(/\]\(([^()\s]+)\)/g)].map(([, target = '']) => target);
}

/** The anchors that GitHub makes of headings. */
export function anchors(text: string): string[] {
  const headings = text.replace(/^\s*(`{3,})[\s\S]*?^\s*\1\s*$/gm, '').matchAll(/^#+\s+(.*)$/gm);
  return [...headings].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replaceAll(' ', '-'),
  );
}
