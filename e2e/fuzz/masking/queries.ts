/** SELECTs of every form over the schema: joins, sub-selects, CTEs, set operations, grouping, windows. */
import type { Dice } from '../mutate.ts';
import { type Around, expression, type Item, type ServerFunction } from './expressions.ts';
import { type Kind, RELATIONS } from './schema.ts';

const KINDS: readonly Kind[] = ['int', 'text', 'numeric', 'json', 'bytes', 'time', 'bool', 'row', 'list', 'other', 'text', 'text', 'int'];
const ONE: readonly Kind[] = ['text', 'text', 'int', 'numeric'];
const AGGREGATES = [
  'count',
  'min',
  'max',
  'array_agg',
  'json_agg',
  'jsonb_agg',
  'bool_and',
  'sum',
  'avg',
  'stddev',
  'xmlagg',
  'every',
  'bit_or',
  'range_agg',
  'first_value',
  'any_value',
];
const WINDOWS = [
  'row_number()',
  'rank()',
  'dense_rank()',
  'ntile(2)',
  'lag({})',
  'lead({}, 1)',
  'first_value({})',
  'nth_value({}, 2)',
  'count({})',
  'cume_dist()',
  'sum({}::numeric)',
  'string_agg({}::text, $$,$$)',
];

export class Grammar implements Around {
  readonly dice: Dice;
  readonly functions: readonly ServerFunction[];
  tame = true;
  #named = 0;
  /** CTEs in scope. */
  #tables: { readonly name: string; readonly columns: readonly { readonly name: string; readonly kind: Kind }[] }[] = [];

  constructor(dice: Dice, functions: readonly ServerFunction[]) {
    this.dice = dice;
    this.functions = functions;
  }

  select(depth = 3): string {
    this.#named = 0;
    this.#tables = [];
    this.tame = this.dice.roll(3) > 0;
    return this.query(this.tame ? Math.min(depth, 2) : depth, [], 'many');
  }

  query(depth: number, outer: readonly Item[], columns: 'one' | 'many'): string {
    const before = this.#tables.length;
    const ctes = depth > 0 && this.dice.roll(5) === 0 ? this.#with(depth - 1) : '';
    const body = this.#body(depth, outer, columns, ctes !== '');
    this.#tables.length = before;
    return ctes + body;
  }

  #name(prefix: string): string {
    this.#named += 1;
    return this.dice.roll(12) === 0 ? this.dice.pick(['customers', 'orders', 'ssn', 'email', 'vault']) + this.#named : prefix + this.#named;
  }

  #with(depth: number): string {
    const { dice } = this;
    if (dice.roll(4) === 0) {
      const name = this.#name('r');
      const base = this.#single(depth, [], ['int', 'text']);
      const tail = dice.pick([
        '',
        '',
        ' SEARCH DEPTH FIRST BY b SET o',
        ' SEARCH BREADTH FIRST BY a, b SET o',
        ' CYCLE b SET looped USING path',
      ]);
      this.#tables.push({
        name,
        columns: [
          { name: 'a', kind: 'int' },
          { name: 'b', kind: 'text' },
          ...(tail.includes('SET o') ? [{ name: 'o', kind: 'row' as const }] : []),
          ...(tail.includes('path') ? [{ name: 'path', kind: 'list' as const }] : []),
        ],
      });
      return `WITH RECURSIVE ${name}(a, b) AS ((${base}) ${dice.pick(['UNION', 'UNION ALL'])} SELECT a + 1, b::text FROM ${name} WHERE a < 3)${tail} `;
    }
    const shadow = dice.roll(5) === 0 ? dice.pick(['customers', 'orders', 'employees']) : null;
    const name = shadow ?? this.#name('w');
    const kinds = [dice.pick(KINDS), dice.pick(KINDS)];
    const query = this.#single(depth, [], kinds);
    this.#tables.push({ name, columns: kinds.map((kind, index) => ({ name: `c${index}`, kind })) });
    return `WITH ${name}(c0, c1) AS ${dice.pick(['', 'MATERIALIZED ', 'NOT MATERIALIZED '])}(${query}) `;
  }

  #body(depth: number, outer: readonly Item[], columns: 'one' | 'many', hasCtes: boolean): string {
    const { dice } = this;
    const roll = dice.roll(100);
    if (columns === 'many' && roll < 4 && depth > 0) return `TABLE ${dice.roll(8) === 0 ? 'ONLY ' : ''}${this.#relationName()}`;
    if (columns === 'many' && roll < 7)
      return `VALUES (${this.#e('text', outer, depth)}, ${this.#e('int', outer, depth)}), (${this.#e('text', outer, depth)}, 2)`;
    const kinds = columns === 'one' ? [dice.pick(ONE)] : Array.from({ length: 1 + dice.roll(4) }, () => dice.pick(KINDS));
    if (roll < 20 && depth > 0) {
      const operator = dice.pick(['UNION', 'UNION ALL', 'INTERSECT', 'EXCEPT', 'EXCEPT ALL', 'INTERSECT ALL']);
      const parts = [this.#single(depth - 1, outer, kinds, true), this.#single(depth - 1, outer, kinds, true)];
      return `(${parts[0]}) ${operator} (${parts[1]})${dice.roll(3) === 0 ? ' ORDER BY 1' : ''}`;
    }
    const stars = columns === 'many' && dice.roll(6) === 0;
    return this.#single(depth, outer, kinds, false, stars && !hasCtes);
  }

  /** One SELECT with target columns of these kinds; `texts` makes them text, so that two fit together. */
  #single(depth: number, outer: readonly Item[], kinds: readonly Kind[], texts = false, star = false): string {
    const { dice } = this;
    const items: Item[] = [];
    const from = this.#from(depth, outer, items);
    const scope = dice.roll(4) === 0 ? [...items, ...outer] : items;
    const grouped = dice.roll(7) === 0;
    const groups = grouped ? [this.#e(dice.pick(KINDS), scope, 1), this.#e('text', scope, 1)] : [];
    const targets = kinds.map((kind, index) => {
      const value = grouped ? this.#aggregate(kind, groups, scope, depth) : this.#target(kind, scope, depth);
      return `${texts ? `(${value})::text` : value}${dice.roll(3) === 0 ? ` AS ${dice.pick(['x#', 'ssn#', 'email#', 'id', 'ssn', '"y z#"', 'customers#']).replace('#', String(index))}` : ''}`;
    });
    if (star) targets.splice(dice.roll(targets.length), 1, dice.pick(['*', `${items[0]?.alias}.*`, `(${items[0]?.alias}).*`]));
    const distinct = dice.pick(['', '', '', '', '', 'DISTINCT ', 'DISTINCT ON (1) ']);
    const where = dice.roll(this.tame ? 5 : 2) === 0 ? ` WHERE ${this.#e('bool', scope, depth - 1)}` : '';
    const sets = [
      groups.join(', '),
      `ROLLUP (${groups.join(', ')})`,
      `CUBE (${groups.join(', ')})`,
      `GROUPING SETS ((${groups[0]}), ())`,
      'ALL',
    ];
    const group = grouped
      ? ` GROUP BY ${dice.pick(sets.slice(0, 4))}${dice.roll(3) === 0 ? ` HAVING ${this.#aggregate('int', groups, scope, 1)} IS NOT NULL` : ''}`
      : '';
    const order =
      dice.roll(2) === 0
        ? ` ORDER BY ${dice.pick(['1', '1 DESC NULLS FIRST', this.#e('text', scope, depth - 1), `${this.#e('int', scope, 1)} USING <`])}`
        : '';
    const limit = dice.pick([
      '',
      '',
      '',
      ' LIMIT 2',
      ' OFFSET 1',
      ` LIMIT (SELECT length(${this.#e('text', [], 1)}))`,
      order === '' || grouped ? '' : ' FETCH FIRST 1 ROW WITH TIES',
    ]);
    return `SELECT ${distinct}${targets.join(', ')}${from}${where}${group}${grouped ? '' : order}${limit}`;
  }

  #e(kind: Kind, items: readonly Item[], depth: number): string {
    return expression(this, kind, items, Math.min(depth, 3));
  }

  #target(kind: Kind, scope: readonly Item[], depth: number): string {
    const { dice } = this;
    if (dice.roll(12) !== 0) return this.#e(kind, scope, depth);
    const frame = dice.pick([
      '',
      '',
      ' ROWS BETWEEN 1 PRECEDING AND CURRENT ROW',
      ' RANGE UNBOUNDED PRECEDING',
      ' GROUPS CURRENT ROW EXCLUDE TIES',
    ]);
    return `${dice.pick(WINDOWS).replace('{}', () => this.#e(kind, scope, 1))} OVER (${dice.roll(2) === 0 ? `PARTITION BY ${this.#e('text', scope, 1)} ` : ''}ORDER BY ${this.#e('text', scope, 1)}${frame})`;
  }

  #aggregate(kind: Kind, groups: readonly string[], scope: readonly Item[], depth: number): string {
    const { dice } = this;
    if (dice.roll(3) === 0) return dice.pick(groups);
    const filter = dice.roll(4) === 0 ? ` FILTER (WHERE ${this.#e('bool', scope, 1)})` : '';
    const inner = this.#e(kind, scope, Math.min(depth, 2));
    const order = dice.roll(4) === 0 ? ` ORDER BY ${this.#e('text', scope, 1)}` : '';
    const forms = [
      `${dice.pick(AGGREGATES)}(${dice.pick(['', 'DISTINCT '])}${inner})`,
      `string_agg((${inner})::text, $$,$$${order})`,
      `percentile_disc(0.5) WITHIN GROUP (ORDER BY ${inner})`,
      `mode() WITHIN GROUP (ORDER BY ${inner})`,
      `rank(${this.#e('text', [], 0)}) WITHIN GROUP (ORDER BY (${inner})::text)`,
      `jsonb_object_agg(${this.#e('text', scope, 0)}, ${inner})`,
      'count(*)',
    ];
    return `${dice.pick(forms)}${filter}`;
  }

  #relationName(): string {
    return this.dice.pick(RELATIONS).name;
  }

  #from(depth: number, outer: readonly Item[], items: Item[]): string {
    const { dice } = this;
    if (dice.roll(16) === 0) return '';
    let from = ` FROM ${this.#item(depth, outer, items)}`;
    for (let left = dice.pick([0, 0, 0, 1, 1, 2]); left > 0; left--) from += this.#joined(depth, outer, items);
    return from;
  }

  #joined(depth: number, outer: readonly Item[], items: Item[]): string {
    const { dice } = this;
    const before = [...items];
    const right = this.#item(depth - 1, [...before, ...outer], items);
    switch (dice.roll(6)) {
      case 0:
        return `, ${right}`;
      case 1:
        return ` CROSS JOIN ${right}`;
      case 2:
        return ` NATURAL ${dice.pick(['', 'LEFT ', 'FULL '])}JOIN ${right}`;
      case 3:
        return ` ${dice.pick(['', 'LEFT ', 'RIGHT ', 'FULL '])}JOIN ${right} USING (${dice.pick(before[0]?.columns ?? [{ name: 'id', kind: 'int' as const }]).name})${dice.roll(4) === 0 ? ' AS u' : ''}`;
      default:
        return ` ${dice.pick(['', 'LEFT ', 'RIGHT ', 'FULL '])}JOIN ${right} ON ${this.#e('bool', items, 2)}`;
    }
  }

  #item(depth: number, outer: readonly Item[], items: Item[]): string {
    const { dice } = this;
    const alias = this.#name('t');
    const roll = dice.roll(20);
    if (depth > 0 && roll < 3) {
      const kinds = [dice.pick(KINDS), dice.pick(KINDS)];
      const lateral = dice.roll(3) === 0;
      const query = this.#single(depth - 1, lateral ? outer : [], kinds);
      items.push({ alias, columns: kinds.map((kind, index) => ({ name: `s${index}`, kind })) });
      return `${lateral ? 'LATERAL ' : ''}(${query}) AS ${alias}(s0, s1)`;
    }
    if (roll === 3) return this.#function(depth, outer, items, alias);
    if (roll < 7 && this.#tables.length > 0) {
      const table = dice.pick(this.#tables);
      items.push({ alias, columns: table.columns });
      return `${table.name} ${alias}`;
    }
    return this.#relation(items, alias);
  }

  #relation(items: Item[], alias: string): string {
    const { dice } = this;
    const { name, columns } = dice.pick(RELATIONS);
    const only = dice.pick(['', '', '', '', '', '', 'ONLY ']);
    switch (dice.roll(10)) {
      case 0: {
        const renamed = columns
          .slice(0, 1 + dice.roll(columns.length))
          .map((column, index) => ({ ...column, name: dice.pick([`n${index}`, `ssn${index}`]) }));
        items.push({ alias, columns: [...renamed, ...columns.slice(renamed.length)] });
        return `${only}${name} AS ${alias}(${renamed.map((column) => column.name).join(', ')})`;
      }
      case 1:
        items.push({ alias: name.replace('public.', ''), columns });
        return `${only}${name}`;
      case 2:
        items.push({ alias, columns });
        return `${name} * ${alias}`;
      case 3:
        items.push({ alias, columns });
        return `(${name} ${alias} CROSS JOIN (SELECT 1 AS one) ${alias}o)`;
      case 4:
        items.push({ alias, columns });
        return `${dice.pick([`"${name.replace('.', '"."')}"`, name.toUpperCase(), `corpus.public.${name.replace('public.', '')}`])} AS "${alias}"`;
      case 5:
        items.push({ alias, columns });
        return dice.roll(3) === 0 ? `${name} ${alias} TABLESAMPLE BERNOULLI (100)` : `${only}${name}/**/${alias}`;
      default:
        items.push({ alias, columns });
        return `${only}${name} ${alias}`;
    }
  }

  #function(depth: number, outer: readonly Item[], items: Item[], alias: string): string {
    const { dice } = this;
    items.push({ alias, columns: [{ name: 'f0', kind: 'text' }] });
    const text = this.#e('text', outer, depth);
    return `${dice.pick([
      `unnest(ARRAY(SELECT ${text}))`,
      `regexp_split_to_table(${text}, '')`,
      `generate_series(1, length(${text}) % 5)`,
      `jsonb_each_text(${this.#e('json', outer, depth)})`,
      `jsonb_to_record(${this.#e('json', outer, depth)})`,
      `ROWS FROM (unnest(ARRAY[${text}]), generate_series(1, 2))`,
      `string_to_table(${text}, ',')`,
      `json_array_elements_text(to_json(ARRAY[${text}]))`,
      `get_customer(${this.#e('int', outer, 1)})`,
      'list_contacts()',
    ])} AS ${alias}(f0)`;
  }
}
