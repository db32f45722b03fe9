/** The form of a line of pg-masking-corpus.jsonl and pg-masking-controls.jsonl. */

type Bytes = string | { readonly hex: string };
type Value = string | number | boolean | null;

/** One message or a round of messages, and whose connection sends it: `victim` is not behind the sidecar. */
export type Step = { readonly on?: string; readonly sleep?: number } & (
  | { readonly q: string; readonly noWait?: number }
  | { readonly qHex: string }
  | { readonly ext: string; readonly params?: readonly Value[]; readonly fmt?: number; readonly max?: number }
  /** `["P", name, sql]`, `["B", portal, statement, parameters, format]`, …; `ready` is how many ReadyForQuery follow where it is not one a Sync or Query. */
  | { readonly msgs: readonly (readonly [string, ...unknown[]])[]; readonly ready?: number }
  | { readonly fcall: string; readonly args?: readonly Bytes[]; readonly fmt?: number }
  | { readonly sql: string; readonly copyIn: string }
  | { readonly stream: string; readonly idleMs?: number; readonly maxMs?: number }
);

export interface MaskingCase {
  readonly id: string;
  readonly category: string;
  readonly class?: string;
  readonly role?: 'app' | 'super' | 'repl';
  readonly protocol: string;
  /** By the administrator, outside of the sidecar. */
  readonly setup?: string | readonly string[];
  readonly setupRole?: 'super';
  readonly cleanup?: string;
  readonly startup?: Readonly<Record<string, string>>;
  readonly sql: string;
  readonly params?: readonly Value[];
  readonly steps?: readonly Step[];
  readonly mustNotLeak: readonly string[];
  readonly mustNotLeakHex?: readonly string[];
  /** Two statements that differ in a guess alone: their transcripts must not tell which one is right. */
  readonly pair?: readonly [string, string];
  readonly pairSteps?: readonly [readonly Step[], readonly Step[]];
  readonly guesses?: readonly string[];
  /** Milliseconds that the right guess takes longer. */
  readonly timing?: number;
  /** Leaks where the two databases differ in any byte. */
  readonly twinOracle?: boolean;
}

/** A case without steps is one round in the protocol that it names. */
export function stepsOf(item: MaskingCase): readonly Step[] {
  if (item.steps !== undefined) return item.steps;
  if (!item.protocol.startsWith('extended')) return [{ q: item.sql }];
  return [{ ext: item.sql, params: item.params ?? [], fmt: item.protocol === 'extended-binary' ? 1 : 0 }];
}
