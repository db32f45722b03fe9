/** Types of parts that more than one kind has. */
export type { Strategy } from './strategy.ts';
export type { Approver, Subject } from './subjects.ts';
