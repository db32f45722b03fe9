/** What is wrong with a manifest, in a closed list of codes. */
export const PROBLEM_CODES = [
  /** A member that must be there is not. */
  'Required',
  /** A member that must not be there beside another. */
  'Forbidden',
  /** The schema has no such member. */
  'UnknownField',
  /** A string where a number belongs, and the like. */
  'TypeInvalid',
  /** Not one of the values of an enum. */
  'NotSupported',
  /** Breaks a pattern, a bound or a rule. */
  'Invalid',
  'TooLong',
  'TooMany',
  'Duplicate',
  /** Named in the API, and refused until it is enforced. */
  'NotYetEnforced',
  /** apiVersion or kind is none of ours. */
  'UnknownKind',
  /** Nested too deep or too big to look at. */
  'TooLarge',
] as const;
export type ProblemCode = (typeof PROBLEM_CODES)[number];

export interface Problem {
  /** `spec.rules[0].action`; empty for the object as a whole. */
  readonly path: string;
  readonly code: ProblemCode;
  /** Worded like the API server's: `Unsupported value: "Alow": supported values: "Allow", "Deny", "RequireApproval"`. */
  readonly message: string;
}
