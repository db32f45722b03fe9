/** What may be used on a target with masks. Short lists, closed: what is not here is refused. */
import type { CatalogFunction } from './catalog.ts';
import { FIRST_USER_OID } from './catalog-queries.ts';

const words = (value: string): ReadonlySet<string> => new Set(value.trim().split(/\s+/));

/** Volatile functions of pg_catalog that change nothing and tell nothing of a table's rows. */
const HARMLESS_VOLATILE =
  words(`random random_normal clock_timestamp timeofday gen_random_uuid uuidv4 uuidv7 pg_sleep pg_sleep_for pg_sleep_until
  pg_backend_pid pg_is_in_recovery pg_table_size pg_relation_size pg_total_relation_size pg_indexes_size pg_database_size pg_tablespace_size
  pg_partition_ancestors pg_partition_tree inet_client_addr inet_client_port inet_server_addr inet_server_port
  pg_jit_available pg_postmaster_start_time pg_conf_load_time`);

/** Immutable or stable, and yet a way to rows, to other sessions' statements or to statistics. */
const DENIED =
  /^(set_config$|query_to_|table_to_xml|schema_to_xml|database_to_xml|cursor_to_|ts_stat|ts_rewrite|dblink|lo_|loread|lowrite|pg_read_|pg_ls_|pg_stat_|pg_stat$|pg_prepared_|pg_cursor|pg_mcv_|pg_get_replication|pg_show_replication|pg_logical|pg_current_logfile|pg_hba|pg_ident|pg_get_wal|pg_get_publication|pg_lock_|pg_event_trigger|pg_input_error_info$|pg_options_to_table|current_query$|has_foreign|binary_upgrade|pg_restore_|pg_clear_|pg_notif|pg_listening|xpath_table)/;

/** Of an extension, whose script a superuser put on the server, and by its own word looking at nothing but its arguments. */
export function isPureExtensionCode(item: CatalogFunction): boolean {
  if (!item.ofExtension || item.securityDefiner) return false;
  return item.volatility === 'Immutable' && ['c', 'internal', 'sql'].includes(item.language);
}

/** Volatile ones of the contributed modules that make keys, salts and ciphertexts of their arguments. In C, so that a superuser put them there. */
const HARMLESS_OF_EXTENSIONS = words(`gen_random_uuid gen_random_bytes gen_salt uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4
  pgp_sym_encrypt pgp_sym_encrypt_bytea pgp_pub_encrypt pgp_pub_encrypt_bytea`);

export function isHarmlessOfExtension(item: CatalogFunction): boolean {
  return item.ofExtension && !item.securityDefiner && item.language === 'c' && HARMLESS_OF_EXTENSIONS.has(item.name);
}

/** Built in, and vetted; or a pure one of an extension, such as the `max` of citext. */
export function isVettedFunction(item: CatalogFunction): boolean {
  if (isPureExtensionCode(item) || isHarmlessOfExtension(item)) return item.kind !== 'Procedure';
  if (item.schema !== 'pg_catalog' || item.oid >= FIRST_USER_OID || item.kind === 'Procedure') return false;
  if (DENIED.test(item.name)) return false;
  return item.volatility !== 'Volatile' || HARMLESS_VOLATILE.has(item.name);
}

export function isSequenceFunction(item: CatalogFunction): boolean {
  return item.schema === 'pg_catalog' && item.oid < FIRST_USER_OID && ['nextval', 'currval', 'lastval'].includes(item.name);
}

/** Changes nothing, as far as its own declaration is true. */
export function isReadingFunction(item: CatalogFunction): boolean {
  if (item.kind === 'Procedure') return false;
  if (item.volatility !== 'Volatile' || isHarmlessOfExtension(item)) return true;
  return item.schema === 'pg_catalog' && item.oid < FIRST_USER_OID && HARMLESS_VOLATILE.has(item.name);
}

/** Compiled into the server or an extension of it, so that only a superuser could have made it. */
export function isTrustedCode(item: CatalogFunction | null): boolean {
  return item !== null && !item.securityDefiner && item.volatility !== 'Volatile' && ['c', 'internal'].includes(item.language);
}

/** Relations of pg_catalog that describe a schema: what psql's \d family and drivers read. No rows, statistics, statements or secrets. */
const CATALOG_RELATIONS = words(`pg_class pg_namespace pg_attribute pg_attrdef pg_type pg_index pg_constraint pg_inherits pg_am pg_collation
  pg_description pg_shdescription pg_roles pg_user pg_group pg_auth_members pg_database pg_tablespace pg_proc pg_aggregate pg_language pg_operator
  pg_opclass pg_opfamily pg_amop pg_amproc pg_cast pg_conversion pg_enum pg_range pg_rewrite pg_trigger pg_event_trigger pg_policy pg_depend
  pg_shdepend pg_publication pg_publication_rel pg_publication_namespace pg_publication_tables pg_foreign_data_wrapper pg_statistic_ext
  pg_extension pg_sequence pg_partitioned_table pg_default_acl pg_settings pg_tables pg_views pg_matviews pg_indexes pg_rules pg_policies
  pg_timezone_names pg_timezone_abbrevs pg_ts_config pg_ts_config_map pg_ts_dict pg_ts_parser pg_ts_template pg_available_extensions
  pg_available_extension_versions pg_init_privs pg_transform pg_foreign_table pg_parameter_acl pg_largeobject_metadata`);

/** Of information_schema all but what shows options, which may hold passwords. */
export function isVettedCatalogRelation(schema: string, name: string): boolean {
  if (schema === 'information_schema') return !/^_pg|option|mapping/.test(name);
  return schema === 'pg_catalog' && CATALOG_RELATIONS.has(name);
}

/** Other settings that a session on a target with masks may change: they steer the planner, and how what is shown is written. */
const SETTINGS = words(`work_mem hash_mem_multiplier maintenance_work_mem temp_buffers random_page_cost seq_page_cost effective_cache_size
  effective_io_concurrency jit plan_cache_mode from_collapse_limit join_collapse_limit synchronous_commit default_transaction_isolation
  default_transaction_read_only default_transaction_deferrable transaction_isolation transaction_read_only max_parallel_workers_per_gather
  idle_session_timeout transaction_timeout tcp_keepalives_idle tcp_keepalives_interval tcp_keepalives_count row_security
  cursor_tuple_fraction constraint_exclusion geqo geqo_threshold cpu_tuple_cost cpu_index_tuple_cost cpu_operator_cost parallel_tuple_cost
  parallel_setup_cost min_parallel_table_scan_size min_parallel_index_scan_size jit_above_cost lc_messages lc_monetary lc_numeric lc_time
  xmloption xmlbinary check_function_bodies default_tablespace temp_tablespaces default_table_access_method default_text_search_config
  gin_fuzzy_search_limit gin_pending_list_limit array_nulls escape_string_warning quote_all_identifiers password_encryption
  default_statistics_target client_connection_check_interval commit_delay vacuum_cost_delay default_toast_compression`);

export function isVettedSetting(name: string): boolean {
  return name === 'session characteristics' || SETTINGS.has(name) || /^enable_[a-z]+$/.test(name);
}
