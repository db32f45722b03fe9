/** Statements of every kind around the SELECTs, and the messages that send them. */
import type { Step } from '../../corpora/masking-case.ts';
import type { Dice } from '../mutate.ts';
import { expression, type Item } from './expressions.ts';
import type { Grammar } from './queries.ts';
import { RELATIONS } from './schema.ts';

export interface Sent {
  readonly sql: string;
  readonly steps: readonly Step[];
}

const TABLES = RELATIONS.filter(({ name }) => !/^(v_|mv_|public)/.test(name));

/** The next statement; it leaves nothing behind, for each is in a transaction that is rolled back where it writes. */
export function statement(grammar: Grammar): Sent {
  const { dice } = grammar;
  const sql = grammar.select();
  switch (dice.roll(40)) {
    case 0:
      return inTransaction(
        `COPY (${sql}) TO STDOUT${dice.pick(['', ' CSV', ' (FORMAT csv, HEADER)', ' BINARY', ` (DELIMITER '-')`, ` (NULL 'x')`])}`,
      );
    case 1:
      return inTransaction(
        `DECLARE cur ${dice.pick(['', 'BINARY ', 'SCROLL '])}CURSOR FOR ${sql}`,
        `FETCH ${dice.pick(['ALL', '1', 'NEXT'])} FROM cur`,
        dice.pick(['FETCH BACKWARD 1 FROM cur', 'MOVE 1 IN cur', 'CLOSE cur']),
      );
    case 2:
      return { sql, steps: [{ q: `PREPARE prep AS ${sql}` }, { q: 'EXECUTE prep' }, { q: 'EXECUTE prep' }, { q: 'DEALLOCATE ALL' }] };
    case 3:
      return inTransaction(
        `EXPLAIN ${dice.pick(['', '(COSTS off) ', '(VERBOSE, COSTS off) ', '(ANALYZE, TIMING off, SUMMARY off, COSTS off, BUFFERS off) ', '(FORMAT json, COSTS off) ', '(GENERIC_PLAN) '])}${sql}`,
      );
    case 4:
      return inTransaction(`CREATE TEMP TABLE stash AS ${sql}`, 'SELECT * FROM stash');
    case 5:
      return inTransaction(write(grammar));
    case 6:
      return inTransaction(
        write(grammar),
        'SELECT id, memo FROM orders ORDER BY 1',
        'SELECT id, full_name FROM customers ORDER BY 1',
        'SELECT * FROM scratch WHERE t IS NOT NULL',
      );
    case 7:
      return inTransaction(`${sql} FOR ${dice.pick(['UPDATE', 'SHARE', 'NO KEY UPDATE SKIP LOCKED'])}`);
    case 8:
      return { sql, steps: [{ q: `SELECT 1; ${sql}; SELECT 2` }] };
    case 9:
      return {
        sql,
        steps: [
          { q: `SET search_path = ${dice.pick(['public', 'pg_catalog, public', 'public, pg_catalog', `"$user"`, 'pg_temp, public'])}` },
          { q: sql },
          { q: 'RESET search_path' },
        ],
      };
    case 10:
      return inTransaction('CREATE TEMP TABLE customers (id int, ssn text)', sql);
    case 11:
      return { sql, steps: [portal(sql, dice)] };
    case 12:
    case 13:
    case 14:
    case 15:
      return { sql, steps: [{ ext: sql, fmt: dice.roll(2) }] };
    default:
      return { sql, steps: [{ q: sql }] };
  }
}

function inTransaction(...sqls: readonly string[]): Sent {
  return { sql: sqls.join('; '), steps: ['BEGIN', ...sqls, 'ROLLBACK'].map((q) => ({ q })) };
}

/** A portal that is run in pieces. */
function portal(sql: string, dice: Dice): Step {
  const msgs: [string, ...unknown[]][] = [
    ['P', 'st', sql],
    ['D', 'S', 'st'],
    ['B', 'po', 'st', [], dice.roll(2)],
    ['D', 'P', 'po'],
    ['E', 'po', 1],
    ['E', 'po', 0],
    ['C', 'P', 'po'],
    ['C', 'S', 'st'],
    ['S'],
  ];
  return { msgs };
}

function write(grammar: Grammar): string {
  const { dice } = grammar;
  const target = dice.pick(TABLES);
  const other = dice.pick(RELATIONS);
  const items: Item[] = [
    { alias: 'w', columns: target.columns },
    { alias: 'r', columns: other.columns },
  ];
  const own = items.slice(0, 1);
  const e = (kind: 'text' | 'bool' | 'int', scope: readonly Item[] = items): string => expression(grammar, kind, scope, 2);
  const column = dice.pick(target.columns).name;
  const returning = dice.pick([
    '',
    ' RETURNING *',
    ' RETURNING w.*',
    ' RETURNING w',
    ` RETURNING ${e('text', own)}`,
    ` RETURNING ${column}, ${e('int', own)}`,
    ' RETURNING old.*, new.*',
    ` RETURNING WITH (OLD AS o) o.${column}`,
  ]);
  switch (dice.roll(7)) {
    case 0:
      return `UPDATE ${target.name} w SET ${column} = ${e('text')} FROM ${other.name} r WHERE ${e('bool')}${returning}`;
    case 1:
      return `UPDATE ${target.name} w SET ${column} = DEFAULT WHERE ${e('bool', own)}${returning}`;
    case 2:
      return `DELETE FROM ${target.name} w USING ${other.name} r WHERE ${e('bool')}${returning}`;
    case 3:
      return `INSERT INTO ${target.name} AS w (id, ${column}) ${grammar.query(1, [], 'many')} ON CONFLICT DO NOTHING${returning}`;
    case 4:
      return `MERGE INTO ${target.name} w USING ${other.name} r ON ${e('bool')} WHEN MATCHED AND ${e('bool')} THEN UPDATE SET ${column} = ${e('text')} WHEN NOT MATCHED THEN DO NOTHING${dice.pick(['', returning])}`;
    case 5:
      return `INSERT INTO scratch SELECT 1, ${e('text', [])} RETURNING *`;
    default:
      return `WITH gone AS (DELETE FROM ${target.name} w WHERE ${e('bool', own)}${returning}) SELECT * FROM gone`;
  }
}
