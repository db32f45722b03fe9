/** By which ways the session's role could get at columns, as the server's own privileges say. */
import { ACCESS_FINGERPRINT, FOREIGN_CODE, RELATION_WAYS, REPLACEABLE_CODE, ROLE_WAYS, RULE_READS, WRITABLE } from './access-queries.ts';
import type { CatalogFunction } from './catalog.ts';
import { RELATION_CODE } from './catalog-queries.ts';

export { ACCESS_FINGERPRINT };

/** One way; `role` is the session's own or one that it may become. */
export type Way =
  | { readonly type: 'superuser' | 'owner' | 'select' | 'trigger' | 'serverRole'; readonly role: string }
  | { readonly type: 'attribute'; readonly role: string; readonly attribute: 'REPLICATION' | 'CREATEROLE' }
  | { readonly type: 'statistics' | 'serverFunction' | 'server'; readonly role: string; readonly name: string }
  /** With the rights of another role, or beside all rights. */
  | {
      readonly type: 'function';
      readonly role: string;
      readonly name: string;
      readonly runsAs: string;
      readonly function: CatalogFunction | null;
    }
  /** It sees rows when somebody else uses the relation, and the session may replace it. */
  | { readonly type: 'code'; readonly name: string }
  /** A view, or a rule of another relation, reads the column with the rights of its owner, and the session may use it. */
  | { readonly type: 'view'; readonly relation: number };

export interface RuleRead {
  readonly relation: number;
  readonly reads: number;
  /** 0: the relation as such, and no column by name. */
  readonly attnum: number;
  readonly wholeRow: boolean;
  readonly isView: boolean;
  /** With the rights of the session itself: its roles own it, or the view asks with the rights of who asks. */
  readonly ownRights: boolean;
}

export interface CatalogAccess {
  /** The role that logs in. */
  readonly session: string;
  /** Hold for every column. */
  readonly everywhere: readonly Way[];
  readonly functions: readonly (Way & { readonly type: 'function' })[];
  /** By relation. `attnum` 0: each of its columns. */
  readonly relations: ReadonlyMap<number, readonly { readonly attnum: number; readonly way: Way }[]>;
  readonly ruleReads: readonly RuleRead[];
  /** Relations of which a rule that is no view's may be set off. */
  readonly writable: ReadonlySet<number>;
}

type Row = readonly (string | null)[];
export const ACCESS_QUERIES: readonly string[] = [
  ROLE_WAYS,
  FOREIGN_CODE,
  RELATION_WAYS,
  REPLACEABLE_CODE(RELATION_CODE),
  RULE_READS,
  WRITABLE,
];

/** `parts` are the answers to ACCESS_QUERIES. */
export function buildAccess(parts: readonly (readonly Row[])[], functionOf: (oid: number) => CatalogFunction | undefined): CatalogAccess {
  const [roleWays = [], foreignCode = [], relationWays = [], replaceable = [], ruleReads = [], writable = []] = parts;
  const relations = new Map<number, { attnum: number; way: Way }[]>();
  const add = (relation: string | null | undefined, attnum: number, way: Way) => {
    const oid = Number(relation);
    const known = relations.get(oid);
    if (known === undefined) relations.set(oid, [{ attnum, way }]);
    else known.push({ attnum, way });
  };
  for (const [relation, attnum, kind, role] of relationWays)
    add(relation, Number(attnum), { type: kind as 'owner' | 'select' | 'trigger', role: role ?? '' });
  for (const [relation, name] of replaceable) add(relation, 0, { type: 'code', name: name ?? '' });
  return {
    session: roleWays.find(([kind]) => kind === 'session')?.[1] ?? '',
    everywhere: roleWays.flatMap(([kind, role, detail]) => roleWay(kind ?? '', role ?? '', detail ?? '')),
    functions: foreignCode.map(([oid, role, name, runsAs]) => ({
      type: 'function',
      role: role ?? '',
      name: name ?? '',
      runsAs: runsAs ?? '',
      function: functionOf(Number(oid)) ?? null,
    })),
    relations,
    ruleReads: ruleReads.map((row) => ({
      relation: Number(row[0]),
      reads: Number(row[1]),
      attnum: Number(row[2]),
      isView: row[3] === 't',
      wholeRow: row[4] === 't',
      ownRights: row[3] === 't' && (row[5] === 't' || row[6] === 't'),
    })),
    writable: new Set(writable.map(([relation]) => Number(relation))),
  };
}

function roleWay(kind: string, role: string, detail: string): Way[] {
  switch (kind) {
    case 'session':
      return [];
    case 'attribute':
      return [{ type: kind, role, attribute: detail === 'CREATEROLE' ? detail : 'REPLICATION' }];
    case 'statistics':
    case 'serverFunction':
    case 'server':
      return [{ type: kind, role, name: detail }];
    case 'serverRole':
      return [{ type: kind, role }];
    default:
      return [{ type: 'superuser', role }];
  }
}
