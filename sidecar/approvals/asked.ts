import { ApprovalError } from '#crds/policy/approval-error.ts';
import type { SnapshotGate } from '#crds/policy/snapshot.ts';
import type { ApprovalAsk, PolicyStore } from '../pipeline.ts';

/** The resource, and the rules and gates with their generations that hold an action: equal for two asks that the same rules hold. */
export function askedFor(ask: ApprovalAsk): string {
  const authors = ask.authors.map((a) => [a.kind, a.namespace, a.name, a.generation, a.rule].join('\u0000'));
  const gates = ask.gates.map((g) => [g.namespace, g.name, g.generation].join('\u0000'));
  return JSON.stringify([ask.resource.namespace, ask.resource.name, authors.sort(), gates.sort()]);
}

/** The gates as the policy in force has them. Throws where one is gone or was edited since the action was judged. */
export function gatesInForce(ask: ApprovalAsk, policy: PolicyStore): SnapshotGate[] {
  const resource = policy.resource(ask.resource)?.resource;
  if (ask.gates.length === 0) throw new ApprovalError('GateMissing', 'no approval gate is named');
  return ask.gates.map((ref) => {
    const gate = resource?.gates.find((g) => g.namespace === ref.namespace && g.name === ref.name);
    if (gate === undefined) throw new ApprovalError('GateMissing', `the ApprovalGate ${ref.namespace}/${ref.name} does not exist`);
    if (gate.generation !== ref.generation) {
      throw new ApprovalError('GateMissing', `the ApprovalGate ${ref.namespace}/${ref.name} was edited since`);
    }
    return gate;
  });
}
