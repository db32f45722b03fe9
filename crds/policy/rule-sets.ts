/** Ready-made sets of what is denied, by name. Each is one Deny rule over effects; what can't be seen is denied by every set. */
import type { EffectKind } from './action.ts';
import type { SnapshotRule } from './snapshot.ts';

export const RULE_SETS = ['readOnly', 'noDDL', 'noDrop', 'noDeleteWithoutWhere', 'noPrivilegeChange', 'noProgram'] as const;
export type RuleSet = (typeof RULE_SETS)[number];

const DENIED: { readonly [set in RuleSet]: readonly EffectKind[] } = {
  readOnly: ['Write'],
  noDDL: ['SchemaChange'],
  noDrop: ['Drop'],
  noDeleteWithoutWhere: ['DeleteWithoutWhere'],
  noPrivilegeChange: ['PrivilegeChange'],
  noProgram: ['ServerAccess'],
};

/** A rule's own name is a DNS label, so that none can be called like a rule set. */
export function isRuleSet(name: string): name is RuleSet {
  return (RULE_SETS as readonly string[]).includes(name);
}

/** `trustedFunctions` are known to do nothing that a rule set denies. */
export function ruleOfSet(set: RuleSet, trustedFunctions: readonly string[]): SnapshotRule {
  return {
    name: set,
    action: 'Deny',
    sql: {
      effects: [...DENIED[set], 'OpaqueCode'],
      ...(trustedFunctions.length === 0 ? {} : { trustedFunctions }),
    },
    gates: [],
    ...(set === 'noDeleteWithoutWhere' ? { guardsEveryRow: true } : {}),
  };
}
