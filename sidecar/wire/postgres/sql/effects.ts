/** What a statement does beyond reading, as far as its text says it: without the functions that it calls and the relations that it names. */
import type { EffectKind } from '#crds/policy/action.ts';
import { asNode, type Fields, fields, isFields, list, names, numeric, text } from './ast.ts';
import type { Act, StatementFacts, WrittenName } from './facts.ts';
import { STATEMENT_NODES } from './nodes.ts';
import { effectsOfSetting } from './settings.ts';
import { deletesAll, kindOf } from './statements.ts';

export interface TextEffect {
  readonly kind: EffectKind;
  readonly what: string;
  /** The function that would run, as written. */
  readonly function?: WrittenName;
}

const words = (value: string): ReadonlySet<string> => new Set(value.trim().split(/\s+/));

/** Statements that change nothing by themselves: no row, no object, no lock that outlives them, nothing that another session would notice. */
const READING = words(`SelectStmt VariableSetStmt VariableShowStmt TransactionStmt ExplainStmt PrepareStmt ExecuteStmt DeallocateStmt
  DeclareCursorStmt FetchStmt ClosePortalStmt ConstraintsSetStmt`);

/** As the server's own `log_statement = ddl` counts: what is neither here nor reading writes rows, or looks after what is stored. */
const NO_DDL =
  words(`InsertStmt UpdateStmt DeleteStmt MergeStmt TruncateStmt CopyStmt LockStmt ListenStmt NotifyStmt UnlistenStmt CallStmt DoStmt
  VacuumStmt CheckPointStmt LoadStmt LockingClause DiscardStmt`);

const PRIVILEGE = words(`GrantStmt GrantRoleStmt AlterDefaultPrivilegesStmt CreateRoleStmt AlterRoleStmt AlterRoleSetStmt DropRoleStmt
  ReassignOwnedStmt DropOwnedStmt AlterOwnerStmt CreatePolicyStmt AlterPolicyStmt CreateUserMappingStmt AlterUserMappingStmt DropUserMappingStmt
  SecLabelStmt AlterSystemStmt`);

/** Programs, files and libraries of the server, and connections that it opens. */
const SERVER = words(`LoadStmt CreateExtensionStmt AlterExtensionStmt CreatePLangStmt CreateFdwStmt AlterFdwStmt CreateForeignServerStmt
  AlterForeignServerStmt CreateForeignTableStmt CreateUserMappingStmt AlterUserMappingStmt ImportForeignSchemaStmt CreateSubscriptionStmt
  AlterSubscriptionStmt DropSubscriptionStmt CreateTableSpaceStmt AlterSystemStmt`);

/** Code that runs now or will run later, and is not in this text. */
const CODE =
  words(`DoStmt CallStmt CreateFunctionStmt RuleStmt CreateExtensionStmt AlterExtensionStmt AlterExtensionContentsStmt CreateCastStmt CreateTransformStmt
  CreateConversionStmt CreateOpClassStmt CreateOpFamilyStmt AlterOpFamilyStmt AlterOperatorStmt AlterTypeStmt CreatePLangStmt CreateAmStmt
  CreateRangeStmt CreateFdwStmt AlterFdwStmt LoadStmt CreateSubscriptionStmt`);

/** No code in what they define. */
const PLAIN_DEFINITIONS = words('OBJECT_COLLATION OBJECT_TSCONFIGURATION OBJECT_TSDICTIONARY');

export function textEffects(facts: StatementFacts): readonly TextEffect[] {
  const found: TextEffect[] = [];
  for (const act of facts.acts) if (!act.planned) found.push(...effectsOfAct(act));
  if (facts.serverFile) found.push({ kind: 'ServerAccess', what: 'COPY with a file or a program of the server' });
  for (const setting of facts.settings) found.push(...effectsOfSetting(setting));
  for (const unknown of facts.unknown) found.push({ kind: 'Write', what: unknown }, { kind: 'OpaqueCode', what: unknown });
  return found;
}

function effectsOfAct({ type, node }: Act): readonly TextEffect[] {
  const what = nameOfAct(type, node);
  const found: TextEffect[] = [];
  const add = (kind: EffectKind, is: boolean): void => {
    if (is) found.push({ kind, what });
  };
  add('Write', !isReading(type, node));
  add('SchemaChange', isDdl(type, node));
  add('Drop', drops(type, node));
  add('PrivilegeChange', PRIVILEGE.has(type) || changesPrivileges(type, node));
  add('ServerAccess', SERVER.has(type));
  add('DeleteWithoutWhere', deletesAll(type, node));
  add('OpaqueCode', CODE.has(type) || (type === 'DefineStmt' && !PLAIN_DEFINITIONS.has(text(node.kind))));
  if (type === 'CreateTrigStmt' || type === 'CreateEventTrigStmt') {
    const parts = names(node.funcname);
    found.push({ kind: 'OpaqueCode', what, function: { schema: parts.at(-2) ?? '', name: parts.at(-1) ?? '' } });
  }
  return found;
}

function isReading(type: string, node: Fields): boolean {
  if (type === 'SelectStmt') return !isFields(node.intoClause);
  if (type === 'CopyStmt') return node.is_from !== true && text(node.filename) === '' && node.is_program !== true;
  if (type === 'TransactionStmt') return !/PREPARE/.test(text(node.kind)) && !turnsReadOnlyOff(node);
  return READING.has(type);
}

/** BEGIN and START TRANSACTION; SET TRANSACTION is a setting. */
function turnsReadOnlyOff(node: Fields): boolean {
  return list(node.options).some((option) => {
    const { defname, arg } = fields(asNode(option, 'DefElem'));
    return text(defname) === 'transaction_read_only' && numeric(fields(fields(asNode(arg, 'A_Const')).ival).ival) !== 1;
  });
}

function isDdl(type: string, node: Fields): boolean {
  if (type === 'SelectStmt') return isFields(node.intoClause);
  return !READING.has(type) && !NO_DDL.has(type);
}

/** DROP, TRUNCATE, and every ALTER that takes something away. */
function drops(type: string, node: Fields): boolean {
  const kind = kindOf(type, node);
  if (kind === 'Drop' || kind === 'Truncate') return true;
  if (kind !== 'Alter') return false;
  if (type === 'AlterDomainStmt') return ['X', 'O'].includes(text(node.subtype)) || (text(node.subtype) === 'T' && node.def === undefined);
  if (type === 'AlterExtensionContentsStmt') return numeric(node.action) < 0;
  if (type === 'AlterOpFamilyStmt') return node.isDrop === true;
  return takesAway(node);
}

/** The grammar marks it with one of its own words: AT_DropColumn, DEFELEM_DROP, ALTER_TSCONFIG_DROP_MAPPING. */
function takesAway(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(takesAway);
  if (!isFields(value)) return false;
  for (const field of ['subtype', 'defaction', 'action', 'kind']) {
    const word = value[field];
    if (typeof word === 'string' && /drop|detach/i.test(word)) return true;
  }
  const command = asNode(value, 'AlterTableCmd');
  if (command !== null && text(command.subtype) === 'AT_ColumnDefault' && command.def === undefined) return true;
  return Object.values(value).some(takesAway);
}

const ROW_SECURITY = /RowSecurity$|ChangeOwner$/;

function changesPrivileges(type: string, node: Fields): boolean {
  switch (type) {
    case 'AlterTableStmt':
      return list(node.cmds).some((item) => {
        const command = fields(asNode(item, 'AlterTableCmd'));
        return ROW_SECURITY.test(text(command.subtype)) || namesOption(command, /^security_/);
      });
    case 'ViewStmt':
      return namesOption(node, /^security_/);
    case 'CreateFunctionStmt':
    case 'AlterFunctionStmt':
      return namesOption(node, /^(security|leakproof)$/);
    case 'CreateSchemaStmt':
      return isFields(node.authrole);
    case 'CreatedbStmt':
    case 'AlterDatabaseStmt':
      return namesOption(node, /^owner$/);
    case 'CreateTableSpaceStmt':
      return isFields(node.owner);
    case 'DropStmt':
      return text(node.removeType) === 'OBJECT_POLICY';
    case 'RenameStmt':
      return ['OBJECT_ROLE', 'OBJECT_POLICY'].includes(text(node.renameType));
    default:
      return false;
  }
}

function namesOption(value: unknown, name: RegExp): boolean {
  if (Array.isArray(value)) return value.some((item) => namesOption(item, name));
  if (!isFields(value)) return false;
  const option = asNode(value, 'DefElem');
  if (option !== null && name.test(text(option.defname))) return true;
  return Object.values(value).some((item) => namesOption(item, name));
}

/** As SQL would call it: `DROP`, `ALTER TABLE`, `CREATE FUNCTION`. */
function nameOfAct(type: string, node: Fields): string {
  if (type === 'LockingClause') return 'FOR UPDATE or FOR SHARE';
  if (type === 'SelectStmt') return 'SELECT INTO';
  if (type === 'TransactionStmt') return /PREPARE/.test(text(node.kind)) ? 'PREPARE TRANSACTION' : 'BEGIN READ WRITE';
  const kind = STATEMENT_NODES.get(type);
  const plain = type.replace(/Stmt$/, '').replace(/([a-z])([A-Z])/g, '$1 $2');
  return kind === undefined || kind === 'Other' ? plain.toUpperCase() : (NAMES[type] ?? plain.toUpperCase());
}

const NAMES: { readonly [type: string]: string } = {
  CopyStmt: 'COPY FROM',
  CreateTableAsStmt: 'CREATE TABLE AS',
  DropStmt: 'DROP',
  CreateStmt: 'CREATE TABLE',
  RuleStmt: 'CREATE RULE',
  ViewStmt: 'CREATE VIEW',
  IndexStmt: 'CREATE INDEX',
  CreateTrigStmt: 'CREATE TRIGGER',
  DefineStmt: 'CREATE',
  RefreshMatViewStmt: 'REFRESH MATERIALIZED VIEW',
  SecLabelStmt: 'SECURITY LABEL',
  RenameStmt: 'ALTER ... RENAME',
  AlterOwnerStmt: 'ALTER ... OWNER',
  AlterObjectSchemaStmt: 'ALTER ... SET SCHEMA',
};
