/** What operator and sidecar both say of an approval. */
import type { ApprovalState_Phase } from '../gen/chaperone/v1/sidecar_pb.js';

/** No vowels and nothing that is read for something else: names are read aloud and typed. */
export const NAME_LETTERS = '23456789bcdfghjkmnpqrstvwxz';
const LENGTH = 10;

/** `grant_until_ms` of an approval that covers the rest of its session, however long that is. */
export const NO_END_MS = Date.UTC(9999, 11, 31, 23, 59, 59);

export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/**
 * The name of the ApprovalRequest that `id` raises: the sidecar tells it to the client before the operator has answered, and raising again
 * finds the same object. `id` is a random UUID; two that give one name are two requests, and the operator refuses the second.
 */
export function approvalName(id: string): string {
  if (!UUID.test(id)) throw new TypeError('not a UUID in lower case');
  let rest = BigInt(`0x${id.replaceAll('-', '').slice(-15)}`);
  let name = '';
  for (let i = 0; i < LENGTH; i++) {
    name += NAME_LETTERS[Number(rest % BigInt(NAME_LETTERS.length))];
    rest /= BigInt(NAME_LETTERS.length);
  }
  return `apr-${name}`;
}

/** Of a call, as `create(ApprovalCallSchema, …)` takes it and as the generated ApprovalCall has it. */
export interface ApprovalCallMessage {
  readonly call:
    | { readonly case: 'raise'; readonly value: ApprovalRaiseMessage }
    | { readonly case: 'withdraw'; readonly value: { readonly id: string; readonly reason: string } }
    | { readonly case: undefined; readonly value?: undefined };
}

export interface ApprovalRaiseMessage {
  readonly id: string;
  readonly session: string;
  readonly resourceNamespace: string;
  readonly resourceName: string;
  readonly principalsJson: Uint8Array;
  readonly gates: { readonly name: string; readonly generation: bigint }[];
  readonly authorsJson: Uint8Array;
  readonly summary: string;
  readonly binding: string;
}

/** Of a state, likewise. */
export interface ApprovalStateMessage {
  readonly id: string;
  readonly name: string;
  readonly phase: ApprovalState_Phase;
  readonly message: string;
  readonly expiresAtMs: bigint;
  readonly approvedBy: { readonly issuer: string; readonly subject: string }[];
  readonly grantUntilMs: bigint;
}
