import { EFFECT_KINDS } from './action.ts';

/**
 * What a condition may look at, with the sizes that its cost is estimated from. `bindCondition` holds values to the same sizes: a member that is
 * larger is left out, so that looking at it is an error, and an error denies.
 */
export type Shape =
  | { readonly is: 'bool' | 'scalar' }
  | { readonly is: 'string'; readonly max: number }
  /** `step`: what it costs to take one element (lists that were joined are walked through their parts). */
  | { readonly is: 'list'; readonly of: Shape; readonly max: number; readonly step: number }
  | { readonly is: 'record'; readonly name: string; readonly members: { readonly [name: string]: Shape } }
  /** Known only at run time: no list in it has more than `max` elements, no string more than `text` characters. */
  | { readonly is: 'any'; readonly max: number; readonly text: number; readonly step: number };

export const MAX_STATEMENTS = 32;
export const MAX_NAMES = 64;
export const MAX_REACHED = 256;
export const MAX_PRINCIPALS = 4;
export const MAX_GROUPS = 256;
export const MAX_NAME_LENGTH = 256;
export const MAX_TEXT_LENGTH = 4096;
/** Values in all claims of one principal, at any depth; also the most that one list in them may hold. */
export const MAX_CLAIM_VALUES = 256;

const BOOL: Shape = { is: 'bool' };
const name: Shape = { is: 'string', max: MAX_NAME_LENGTH };
const text: Shape = { is: 'string', max: MAX_TEXT_LENGTH };
const names = (max: number): Shape => ({ is: 'list', of: name, max, step: 1 });
export const ANY: Shape = { is: 'any', max: MAX_CLAIM_VALUES, text: MAX_TEXT_LENGTH, step: 1 };
export const NOTHING: Shape = { is: 'any', max: 0, text: 0, step: 1 };

const statement: Shape = {
  is: 'record',
  name: 'a statement',
  members: {
    kind: name,
    kinds: names(32),
    reads: names(MAX_NAMES),
    writes: names(MAX_NAMES),
    reached: names(MAX_REACHED),
    functions: names(MAX_NAMES),
    access: name,
    missingWhere: BOOL,
    effects: names(EFFECT_KINDS.length),
    housekeeping: BOOL,
  },
};

const principal: Shape = {
  is: 'record',
  name: 'a principal',
  members: { kind: name, issuer: text, subject: name, groups: names(MAX_GROUPS), claims: ANY, proof: name, onBehalfOf: name },
};

/** The variables of a condition. `action` has the members of its kind only; `type` says which kind it is. */
export const VARIABLES: { readonly [name: string]: Shape } = {
  action: {
    is: 'record',
    name: 'action',
    members: {
      type: name,
      database: name,
      user: name,
      statements: { is: 'list', of: statement, max: MAX_STATEMENTS, step: 1 },
      method: name,
      host: name,
      path: text,
      query: text,
    },
  },
  principals: { is: 'list', of: principal, max: MAX_PRINCIPALS, step: 1 },
  resource: { is: 'record', name: 'resource', members: { namespace: name, name, protocol: name } },
  now: { is: 'scalar' },
};

/** Members of `action` that an opened session has. */
export const CONNECT_MEMBERS: ReadonlySet<string> = new Set(['type', 'database', 'user']);

/** Either of two shapes. */
export function either(a: Shape, b: Shape): Shape {
  if (a === b || b === NOTHING) return a;
  if (a === NOTHING) return b;
  if (a.is === 'bool' && b.is === 'bool') return a;
  if (a.is === 'string' && b.is === 'string') return { is: 'string', max: Math.max(a.max, b.max) };
  if (a.is === 'list' && b.is === 'list')
    return { is: 'list', of: either(a.of, b.of), max: Math.max(a.max, b.max), step: Math.max(a.step, b.step) };
  const [left, right] = [bounds(a), bounds(b)];
  return {
    is: 'any',
    max: Math.max(left.max, right.max),
    text: Math.max(left.text, right.text),
    step: Math.max(left.step, right.step),
  };
}

interface Bounds {
  readonly max: number;
  readonly text: number;
  readonly step: number;
}

/** The largest list, string and step anywhere in a shape. */
export function bounds(shape: Shape): Bounds {
  switch (shape.is) {
    case 'bool':
    case 'scalar':
      return { max: 0, text: 32, step: 1 };
    case 'string':
      return { max: 0, text: shape.max, step: 1 };
    case 'any':
      return shape;
    case 'list': {
      const inner = bounds(shape.of);
      return { max: Math.max(shape.max, inner.max), text: inner.text, step: Math.max(shape.step, inner.step) };
    }
    case 'record':
      return Object.values(shape.members)
        .map(bounds)
        .reduce((a, b) => ({ max: Math.max(a.max, b.max), text: Math.max(a.text, b.text), step: Math.max(a.step, b.step) }));
    default:
      return shape satisfies never;
  }
}

/** Steps that it takes to compare a value of this shape with another. */
export function comparing(shape: Shape): number {
  switch (shape.is) {
    case 'bool':
    case 'scalar':
      return 1;
    case 'string':
      return 1 + shape.max / 256;
    case 'any':
      return 1 + shape.max * (shape.step + shape.text / 256);
    case 'list':
      return 1 + shape.max * (shape.step + comparing(shape.of));
    case 'record':
      return Object.values(shape.members).reduce((sum, member) => sum + comparing(member), 1);
    default:
      return shape satisfies never;
  }
}
