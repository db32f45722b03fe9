/** The member that was probably meant, or null where none is near. */
export function didYouMean(written: string, members: readonly string[]): string | null {
  const text = written.slice(0, MAX_LENGTH).toLowerCase();
  const near = members
    .map((member) => ({ member, distance: editDistance(text, member.toLowerCase()) }))
    .filter(({ member, distance }) => distance <= Math.max(1, Math.floor(member.length / 3)))
    .sort((a, b) => a.distance - b.distance);
  return near[0]?.member ?? null;
}

/** No member is longer, and the table grows with the product of both lengths. */
const MAX_LENGTH = 64;

/** Insertions, deletions, changes and swaps of neighbours (optimal string alignment). */
function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, column) => column)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = cell(rows, i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = swapped ? cell(rows, i - 2, j - 2) + 1 : Number.POSITIVE_INFINITY;
      row.push(Math.min(change, swap, cell(rows, i - 1, j) + 1, (row[j - 1] ?? 0) + 1));
    }
    rows.push(row);
  }
  return cell(rows, a.length, b.length);
}

function cell(rows: readonly (readonly number[])[], row: number, column: number): number {
  return rows[row]?.[column] ?? Number.POSITIVE_INFINITY;
}
