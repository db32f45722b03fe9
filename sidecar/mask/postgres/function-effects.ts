/** What a function does beyond reading, by what is known of it: built-in ones by closed lists, those of the database not at all. */
import type { EffectKind } from '#crds/policy/action.ts';
import type { CatalogFunction } from './catalog.ts';
import { FIRST_USER_OID } from './catalog-queries.ts';
import { isHarmlessOfExtension, isPureExtensionCode, isReadingFunction } from './vet-lists.ts';

const OPAQUE: readonly EffectKind[] = ['OpaqueCode'];
const WRITES: readonly EffectKind[] = ['Write'];
const REACHES_OUT: readonly EffectKind[] = ['ServerAccess', 'Write'];
const UNKNOWN: readonly EffectKind[] = ['OpaqueCode', 'ServerAccess', 'Write'];
const NOTHING: readonly EffectKind[] = [];

/** They run SQL that comes as text, or read relations and so run the functions of views. */
const SQL_IN_STRING = /^(query_to_|cursor_to_|table_to_xml|schema_to_xml|database_to_xml|ts_stat$|ts_rewrite$|binary_upgrade_)/;

/** Files, settings, logs and write-ahead log of the server, and other servers. */
const SERVER =
  /^(pg_read_|pg_ls_|pg_stat_file$|lo_import|lo_export|pg_file_|pg_logdir|pg_current_logfile|pg_rotate_logfile|pg_reload_conf|pg_hba_|pg_ident_|pg_show_all_file_settings|pg_export_snapshot|pg_start_backup|pg_stop_backup|pg_backup_|pg_switch_wal|pg_create_|pg_copy_|pg_drop_replication|pg_logical_|pg_replication_|pg_promote|pg_wal_replay|pg_log_|pg_sync_|dblink|postgres_fdw)/;

/** Stable, and yet they use up a transaction's number. */
const TAKES_NUMBER: ReadonlySet<string> = new Set(['txid_current', 'pg_current_xact_id']);

/** Volatile, and they only tell something. */
const READS =
  /^(currval|lastval|lo_get|pg_lock_status|pg_prepared_xact|pg_blocking_pids|pg_safe_snapshot_blocking_pids|pg_last_|pg_current_wal_|pg_is_wal|pg_tablespace_size|pg_get_|pg_xact_|txid_status|pg_control_|pg_stat_get_|pg_sequence_last_value|pg_notification_queue_usage|pg_show_replication_origin_status|pg_partition_|current_query|pg_available_|pg_trigger_depth|pg_numa_|pg_stat_have_stats|pg_column_)/;

/** Rows, sequences, large objects, locks, other sessions and statistics: they write, and run nothing that is not in them. */
const PLAIN_WRITES =
  /^(nextval|setval|setseed|lo_|loread|lowrite|pg_advisory_|pg_try_advisory_|pg_notify|pg_cancel_backend|pg_terminate_backend|pg_stat_reset|pg_stat_clear_|pg_stat_force_|pg_restore_|pg_clear_|brin_|gin_clean_|pg_nextoid|pg_extension_config_dump)/;

/** `set_config` is told by its arguments, see `effectsOfValue`. */
export function effectsOfFunction(item: CatalogFunction): readonly EffectKind[] {
  const { name } = item;
  if (item.schema !== 'pg_catalog' || item.oid >= FIRST_USER_OID) {
    if (isPureExtensionCode(item) || isHarmlessOfExtension(item)) return NOTHING;
    return SERVER.test(name) ? UNKNOWN : OPAQUE;
  }
  if (item.kind === 'Procedure') return OPAQUE;
  if (SQL_IN_STRING.test(name)) return OPAQUE;
  if (SERVER.test(name)) return REACHES_OUT;
  if (TAKES_NUMBER.has(name)) return WRITES;
  if (isReadingFunction(item) || READS.test(name) || name === 'set_config') return NOTHING;
  return PLAIN_WRITES.test(name) ? WRITES : UNKNOWN;
}

/** A trigger function that came with the server: of its own it only keeps a row, or a text-search column of it. */
export function isTrustedTrigger(item: CatalogFunction): boolean {
  return item.schema === 'pg_catalog' && item.oid < FIRST_USER_OID;
}
