import type { ObjectConditions } from '#operator/compile/compile.ts';
import type { FileProblem } from './documents.ts';
import type { FolderObject } from './objects.ts';

/** What the compiler says of the objects: one that is not accepted makes the folder unfit, a reference that leads nowhere is a warning. */
export function findingsOf(conditions: readonly ObjectConditions[], objects: readonly FolderObject[]) {
  const problems: FileProblem[] = [];
  const warnings: FileProblem[] = [];
  for (const { kind, namespace, name, conditions: own } of conditions) {
    const document = objects.find(
      ({ object }) => object.kind === kind && object.metadata.namespace === namespace && object.metadata.name === name,
    )?.document;
    for (const condition of own.filter(({ status }) => status === 'False')) {
      const field = condition.type === 'Accepted' ? 'spec' : 'spec.targetRefs';
      const problem: FileProblem = {
        file: document?.file ?? `${kind} ${namespace}/${name}`,
        line: document?.lineOf(field) ?? 0,
        field: '',
        message: `${kind} ${namespace}/${name}: ${condition.message} (${condition.reason})`,
      };
      (condition.type === 'Accepted' ? problems : warnings).push(problem);
    }
  }
  return { problems, warnings };
}
