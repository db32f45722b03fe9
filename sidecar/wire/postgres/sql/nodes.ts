/** The node types of a raw parse tree (before analysis), and what kind of statement each statement node is. Closed: another type is refused. */
import type { StatementKind } from '#crds/policy/action.ts';

const words = (value: string): readonly string[] => value.trim().split(/\s+/);

/** Expressions, clauses and names. Their fields are walked one by one, whatever they are called. */
export const CLAUSE_NODES: ReadonlySet<string> = new Set(
  words(`
  Integer Float Boolean String BitString List IntList OidList A_Const A_Star A_Indices A_Indirection A_ArrayExpr A_Expr Alias RangeVar
  IntoClause BoolExpr SubLink CaseExpr CaseWhen RowExpr CoalesceExpr MinMaxExpr SQLValueFunction XmlExpr XmlSerialize NullTest BooleanTest
  SetToDefault CurrentOfExpr JoinExpr TypeName ColumnRef ParamRef TypeCast CollateClause RoleSpec FuncCall NamedArgExpr ResTarget
  MultiAssignRef MergeSupportFunc SortBy WindowDef RangeSubselect RangeFunction RangeTableFunc RangeTableFuncCol RangeTableSample ColumnDef TableLikeClause
  IndexElem DefElem LockingClause PartitionElem PartitionSpec PartitionBoundSpec PartitionRangeDatum PartitionCmd GroupingSet GroupingFunc
  WithClause InferClause OnConflictClause CTESearchClause CTECycleClause CommonTableExpr MergeWhenClause ReturningOption ReturningClause
  TriggerTransition JsonFormat JsonReturning JsonValueExpr JsonBehavior JsonIsPredicate JsonOutput JsonArgument JsonFuncExpr
  JsonTablePathSpec JsonTable JsonTableColumn JsonKeyValue JsonParseExpr JsonScalarExpr JsonSerializeExpr JsonObjectConstructor
  JsonArrayConstructor JsonArrayQueryConstructor JsonAggConstructor JsonObjectAgg JsonArrayAgg AlterTableCmd ATAlterConstraint
  ReplicaIdentityStmt ObjectWithArgs AccessPriv Constraint CreateOpClassItem StatsElem FunctionParameter ReturnStmt VacuumRelation
  PublicationTable PublicationObjSpec`),
);

const STATEMENTS: Readonly<Partial<Record<StatementKind, string>>> = {
  Select: 'SelectStmt',
  Insert: 'InsertStmt',
  Update: 'UpdateStmt',
  Delete: 'DeleteStmt',
  Merge: 'MergeStmt',
  Truncate: 'TruncateStmt',
  Create: `CreateStmt CreateSchemaStmt CreateTableSpaceStmt CreateExtensionStmt CreateFdwStmt CreateForeignServerStmt CreateForeignTableStmt
    CreateUserMappingStmt CreatePolicyStmt CreateAmStmt CreateTrigStmt CreateEventTrigStmt CreatePLangStmt CreateRoleStmt CreateSeqStmt
    DefineStmt CreateDomainStmt CreateOpClassStmt CreateOpFamilyStmt CreateStatsStmt CreateFunctionStmt CompositeTypeStmt CreateEnumStmt
    CreateRangeStmt ViewStmt CreatedbStmt CreateTableAsStmt CreateConversionStmt CreateCastStmt CreateTransformStmt IndexStmt RuleStmt
    CreatePublicationStmt CreateSubscriptionStmt ImportForeignSchemaStmt`,
  Alter: `AlterTableStmt AlterCollationStmt AlterDomainStmt AlterTableSpaceOptionsStmt AlterTableMoveAllStmt AlterExtensionStmt
    AlterExtensionContentsStmt AlterFdwStmt AlterForeignServerStmt AlterUserMappingStmt AlterPolicyStmt AlterEventTrigStmt AlterRoleStmt
    AlterRoleSetStmt AlterSeqStmt AlterOpFamilyStmt AlterStatsStmt AlterFunctionStmt RenameStmt AlterObjectDependsStmt
    AlterObjectSchemaStmt AlterOwnerStmt AlterOperatorStmt AlterTypeStmt AlterEnumStmt AlterDatabaseStmt AlterDatabaseRefreshCollStmt
    AlterDatabaseSetStmt AlterSystemStmt AlterTSDictionaryStmt AlterTSConfigurationStmt AlterPublicationStmt AlterSubscriptionStmt
    ReassignOwnedStmt`,
  Drop: 'DropStmt DropTableSpaceStmt DropUserMappingStmt DropRoleStmt DropdbStmt DropOwnedStmt DropSubscriptionStmt',
  Grant: 'GrantStmt GrantRoleStmt AlterDefaultPrivilegesStmt',
  Comment: 'CommentStmt SecLabelStmt',
  Set: 'VariableSetStmt ConstraintsSetStmt DiscardStmt',
  Show: 'VariableShowStmt',
  Transaction: 'TransactionStmt',
  Explain: 'ExplainStmt',
  Prepare: 'PrepareStmt',
  Execute: 'ExecuteStmt',
  Deallocate: 'DeallocateStmt',
  Cursor: 'DeclareCursorStmt FetchStmt ClosePortalStmt',
  CopyTo: 'CopyStmt',
  Lock: 'LockStmt',
  Listen: 'ListenStmt NotifyStmt UnlistenStmt',
  Call: 'CallStmt',
  Do: 'DoStmt',
  Maintenance: 'VacuumStmt ClusterStmt ReindexStmt CheckPointStmt RefreshMatViewStmt',
  Other: 'LoadStmt',
};

/** Of a statement node; GRANT and REVOKE, and the two directions of COPY, are told apart by the walk. */
export const STATEMENT_NODES: ReadonlyMap<string, StatementKind> = new Map(
  Object.entries(STATEMENTS).flatMap(([kind, types]) => words(types).map((type): [string, StatementKind] => [type, kind as StatementKind])),
);

/** Fields that hold a node without its type around it. `Parent.field` goes before `field`. */
export const BARE_FIELDS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    Alias: 'alias join_using_alias',
    BitString: 'bsval',
    Boolean: 'boolval',
    CollateClause: 'collClause',
    CreateStmt: 'base',
    CTECycleClause: 'cycle_clause',
    CTESearchClause: 'search_clause',
    Float: 'fval',
    FuncCall: 'funccall',
    GrantStmt: 'action',
    InferClause: 'infer',
    Integer: 'ival',
    IntoClause: 'into intoClause',
    JsonAggConstructor: 'constructor',
    JsonBehavior: 'on_empty on_error',
    JsonFormat: 'format',
    JsonOutput: 'output',
    JsonReturning: 'returning',
    JsonTablePathSpec: 'pathspec',
    JsonValueExpr:
      'context_item JsonArgument.val JsonKeyValue.value JsonArrayAgg.arg JsonParseExpr.expr JsonSerializeExpr.expr JsonScalarExpr.expr',
    JsonKeyValue: 'JsonObjectAgg.arg',
    ObjectWithArgs: 'func fromsql tosql opername CreateOpClassItem.name',
    OnConflictClause: 'onConflictClause',
    PartitionBoundSpec: 'bound partbound',
    PartitionSpec: 'partspec',
    PublicationTable: 'pubtable',
    RangeVar: 'relation constrrel identitySequence pktable rel sequence table typevar view PartitionCmd.name',
    ReturningClause: 'returningClause',
    RoleSpec: 'authrole grantor newowner newrole owner role user',
    SelectStmt: 'larg rarg',
    String: 'sval AlterObjectDependsStmt.extname',
    TypeName: 'argType datatype ofTypename returnType sourcetype storedtype targettype typeName type_name',
    VariableSetStmt: 'setstmt',
    WindowDef: 'over',
    WithClause: 'withClause',
  }).flatMap(([type, names]) => words(names).map((name): [string, string] => [name, type])),
);

/** Statements whose RangeVars name all that they change. Any other that changes something gets a name that resolves to nothing. */
export const NAMES_ITS_RELATIONS: ReadonlySet<string> = new Set(
  words(`InsertStmt UpdateStmt DeleteStmt MergeStmt TruncateStmt CreateStmt CreateTableAsStmt ViewStmt IndexStmt AlterTableStmt CreateSeqStmt
  AlterSeqStmt CreatePolicyStmt AlterPolicyStmt RefreshMatViewStmt LockStmt CopyStmt SelectStmt CreateStatsStmt`),
);

/**
 * Syntax of newer servers that an older one reads as a call of a function of that name. JSON_EXISTS, JSON_QUERY and JSON_VALUE
 * share a node and are told apart by the walk.
 */
export const SYNTAX_FUNCTIONS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    JsonTable: 'json_table',
    JsonParseExpr: 'json',
    JsonScalarExpr: 'json_scalar',
    JsonSerializeExpr: 'json_serialize',
    JsonObjectConstructor: 'json_object',
    JsonArrayConstructor: 'json_array',
    JsonArrayQueryConstructor: 'json_array',
    JsonObjectAgg: 'json_objectagg',
    JsonArrayAgg: 'json_arrayagg',
    JsonFuncExpr: 'json_value',
    MergeSupportFunc: 'merge_action',
  }),
);
