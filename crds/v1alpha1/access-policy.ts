/** AccessPolicy: who may do what on a target. */
import { RULE_SETS } from '../policy/rule-sets.ts';
import { http } from './match-http.ts';
import { kubernetes, ssh } from './match-later.ts';
import { sql, trustedFunctions } from './match-sql.ts';
import { DNS_LABEL, objectName, targetRefs } from './names.ts';
import {
  choice,
  exactlyWhen,
  form,
  integer,
  list,
  listByKey,
  notYet,
  object,
  onlyWhen,
  optional,
  type Static,
  setOf,
  text,
} from './schema.ts';
import { policyStatus } from './status.ts';
import { subjects } from './subjects.ts';

const rule = object(
  {
    name: text("The rule's name: what a denial, a log line and a recording call it. Unique in the policy.", {
      maxLength: 63,
      pattern: DNS_LABEL,
    }),
    action: choice(
      ['Allow', 'Deny', 'RequireApproval'],
      'What happens to a command that matches. Over all rules of all policies that match, `Deny` wins over `RequireApproval`, which wins over `Allow`; the order of rules does not matter. A command that no rule matches is denied.',
    ),
    sql: optional(sql),
    http: optional(http),
    kubernetes: notYet(kubernetes),
    ssh: notYet(ssh),
    when: optional(
      text(
        'A CEL condition that must also be true. A condition that fails at run time denies the command. Compiled when the policy is validated, where its cost is bounded too.',
        { maxLength: 1024 },
      ),
    ),
    maxAffectedRows: optional(
      integer(
        'The most rows that one command may change. A command is run, its rows are counted as the server counts them, and above the limit it is undone and denied; the limit of the rule with the highest one counts where several rules allow it. The rule covers no write whose rows the server does not count: a write inside of a CTE, EXPLAIN ANALYZE or COPY (query), TRUNCATE, changes of the schema, code that can not be seen. A command is sent alone, and an Execute that returns rows asks for all of them. Only with `Allow`.',
        { minimum: 1, maximum: 1_000_000_000 },
      ),
    ),
    gateRefs: optional(
      listByKey(
        ['name'],
        object({ name: objectName("The gate's name, in the namespace of this object.") }, 'One gate.'),
        'The ApprovalGates that must all pass. Required with `RequireApproval`, forbidden otherwise.',
        { minItems: 1, maxItems: 8 },
      ),
    ),
  },
  'What happens to the commands that match. A rule with neither sql nor http matches every command.',
  {
    rules: [
      ...exactlyWhen('gateRefs', "self.action == 'RequireApproval'", 'action RequireApproval'),
      onlyWhen('maxAffectedRows', "self.action == 'Allow' && !has(self.http)", 'action Allow of SQL'),
      { rule: '!(has(self.sql) && has(self.http))', message: 'sql and http exclude one another: write two rules' },
    ],
  },
);

const limits = object(
  {
    maxDurationSeconds: optional(integer('How long a session may last.', { minimum: 1, maximum: 604800 })),
    idleTimeoutSeconds: optional(integer('How long a session may be idle.', { minimum: 1, maximum: 86400 })),
    maxRows: optional(integer('Rows that one session may be given.', { minimum: 1, maximum: 1_000_000_000_000 })),
    maxBytes: optional(integer('Bytes that one session may be given.', { minimum: 1, maximum: 1_000_000_000_000_000 })),
    maxActionsPerMinute: optional(integer('Commands in any 60 seconds of one session.', { minimum: 1, maximum: 100_000 })),
  },
  'Limits of each session. Of all policies that match a session the strictest counts. No limit where absent.',
  {
    rules: [
      {
        rule: 'has(self.maxDurationSeconds) || has(self.idleTimeoutSeconds) || has(self.maxRows) || has(self.maxBytes) || has(self.maxActionsPerMinute)',
        message: 'limits is empty: set a limit, or leave limits out',
      },
    ],
  },
);

const timeWindow = object(
  {
    days: setOf(choice(['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'], 'One day.'), 'The days that the window starts on.', {
      minItems: 1,
      maxItems: 7,
    }),
    start: text('When the window opens, `HH:MM` in UTC.', {
      maxLength: 5,
      rules: [form('([01][0-9]|2[0-3]):[0-5][0-9]', 'must be HH:MM on a clock of 24 hours: 09:00')],
    }),
    end: text(
      'When the window closes, `HH:MM` in UTC; that minute is no longer part of it. `24:00` is the end of the day. An end before the start runs past midnight.',
      {
        maxLength: 5,
        rules: [form('([01][0-9]|2[0-3]):[0-5][0-9]|24:00', 'must be HH:MM on a clock of 24 hours, or 24:00: 17:30')],
      },
    ),
  },
  'A part of the week, in UTC.',
  { rules: [{ rule: 'self.start != self.end', message: 'start and end are equal: for a whole day write start 00:00 and end 24:00' }] },
);

export const accessPolicySpec = object(
  {
    targetRefs: targetRefs('policy'),
    subjects: subjects('Who the policy is about. An identity that matches one of them is meant.', 1),
    mode: choice(
      ['Enforce', 'Audit'],
      '`Enforce`: the verdicts count. `Audit`: what the policy would have said is recorded and changes nothing, so it allows nothing either.',
      { default: 'Enforce' },
    ),
    ruleSets: optional(
      setOf(
        choice(RULE_SETS, 'One rule set.'),
        'Ready-made rules that deny, by name; they allow nothing. `readOnly`: whatever may change something; sessions are read only on the server, too. `noDDL`: changes of the schema. `noDrop`: DROP, TRUNCATE and ALTER ... DROP. `noDeleteWithoutWhere`: DELETE, MERGE and TRUNCATE of every row. `noPrivilegeChange`: grants, roles, owners, row security. `noProgram`: programs, files and libraries of the server and connections that it opens. Each also denies code that can not be seen: DO, CALL, functions and triggers of the database that are not in `trustedFunctions`.',
        { minItems: 1, maxItems: RULE_SETS.length },
      ),
    ),
    trustedFunctions: optional(trustedFunctions('For `ruleSets`.', 256)),
    rules: listByKey(['name'], rule, 'What the subjects may and may not do.', { minItems: 1, maxItems: 64 }),
    limits: optional(limits),
    timeWindows: optional(
      list(timeWindow, 'When the policy applies. Outside of all windows its rules match nothing. Always where absent.', {
        minItems: 1,
        maxItems: 16,
      }),
    ),
    minimumAssurance: optional(
      choice(
        ['A', 'B', 'C'],
        "The least assurance of masking that a session must have; below it every command is denied. `A`: the target's role can not read the masked columns at all. `B`: statements are rewritten, so that they only meet the mask. `C`: what comes back is looked through. A session has the lowest level of its masked columns, and none where nothing is masked for it. Of all policies that match a session the strictest counts, outside of their time windows too. `chaperone doctor` shows the level of a target, and what lifts it.",
      ),
    ),
  },
  'Who may do what on a target. The default is deny: without a rule that allows it, a command does not reach the target.',
  {
    rules: [
      {
        rule: '!has(self.trustedFunctions) || has(self.ruleSets)',
        message: 'trustedFunctions is only for ruleSets',
        fieldPath: '.trustedFunctions',
        reason: 'FieldValueForbidden',
      },
    ],
  },
);
export const accessPolicyStatus = policyStatus;
export type AccessPolicySpec = Static<typeof accessPolicySpec>;
