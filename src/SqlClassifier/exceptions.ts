/**
 * Where `pg_proc.provolatile` says less than the whole truth about a function of PostgreSQL itself. Each name was run on hot
 * standbys of 14 to 18.
 */

/** VOLATILE, because the answer changes within a statement; yet nothing is changed, and a standby answers as well. */
export const harmlessFunctions: ReadonlySet<string> = new Set(
  `
  clock_timestamp timeofday timezone random random_normal gen_random_uuid uuidv4 uuidv7 array_sample array_shuffle
  pg_sleep pg_sleep_for pg_sleep_until current_query amvalidate

  pg_relation_size pg_table_size pg_indexes_size pg_total_relation_size pg_database_size pg_tablespace_size
  pg_partition_tree pg_partition_ancestors

  pg_is_in_recovery pg_is_in_backup pg_is_wal_replay_paused pg_get_wal_replay_pause_state pg_last_wal_receive_lsn
  pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_control_checkpoint pg_control_init pg_control_recovery
  pg_control_system pg_available_wal_summaries pg_wal_summary_contents pg_get_wal_summarizer_state
  pg_get_wal_resource_managers

  pg_xact_status txid_status pg_xact_commit_timestamp pg_xact_commit_timestamp_origin pg_last_committed_xact
  pg_get_multixact_members pg_prepared_xact pg_lock_status pg_blocking_pids pg_safe_snapshot_blocking_pids
  pg_notification_queue_usage pg_show_replication_origin_status

  pg_stat_get_backend_io pg_stat_get_backend_wal pg_stat_get_io pg_stat_get_recovery_prefetch pg_stat_have_stats
  pg_stat_get_xact_blocks_fetched pg_stat_get_xact_blocks_hit pg_stat_get_xact_function_calls
  pg_stat_get_xact_function_self_time pg_stat_get_xact_function_total_time pg_stat_get_xact_numscans
  pg_stat_get_xact_tuples_deleted pg_stat_get_xact_tuples_fetched pg_stat_get_xact_tuples_hot_updated
  pg_stat_get_xact_tuples_inserted pg_stat_get_xact_tuples_newpage_updated pg_stat_get_xact_tuples_returned
  pg_stat_get_xact_tuples_updated pg_get_aios pg_get_backend_memory_contexts pg_get_loaded_modules
  pg_get_shmem_allocations pg_get_shmem_allocations_numa pg_get_wait_events

  pg_collation_actual_version pg_database_collation_actual_version pg_jit_available pg_current_logfile
  pg_hba_file_rules pg_ident_file_mappings pg_show_all_file_settings pg_stat_file pg_read_file pg_read_file_old
  pg_read_binary_file pg_ls_dir pg_ls_logdir pg_ls_waldir pg_ls_tmpdir pg_ls_archive_statusdir pg_ls_logicalmapdir
  pg_ls_logicalsnapdir pg_ls_replslotdir pg_ls_summariesdir
  `
    .trim()
    .split(/\s+/)
)

/**
 * The same for what PostgreSQL ships as extensions, by their names: a function counts only where it belongs to one. What
 * connects elsewhere (dblink), resets or evicts is not among them.
 */
export const harmlessExtensionFunctions: ReadonlyMap<string, ReadonlySet<string>> = new Map(
  Object.entries({
    "uuid-ossp": "uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4",
    pgcrypto:
      "gen_random_bytes gen_random_uuid gen_salt pgp_pub_encrypt pgp_pub_encrypt_bytea pgp_sym_encrypt " +
      "pgp_sym_encrypt_bytea fips_mode",
    tablefunc: "normal_rand",
    pg_stat_statements: "pg_stat_statements pg_stat_statements_info",
    pgstattuple: "pg_relpages pgstatginindex pgstathashindex pgstatindex pgstattuple pgstattuple_approx",
    pg_buffercache: "pg_buffercache_numa_pages pg_buffercache_pages pg_buffercache_summary pg_buffercache_usage_counts",
    pg_freespacemap: "pg_freespace",
    pg_visibility: "pg_visibility pg_visibility_map pg_visibility_map_summary",
    pgrowlocks: "pgrowlocks",
    sslinfo:
      "ssl_cipher ssl_client_cert_present ssl_client_dn ssl_client_dn_field ssl_client_serial ssl_extension_info " +
      "ssl_is_used ssl_issuer_dn ssl_issuer_field ssl_version"
  }).map(([extension, names]) => [extension, new Set(names.split(" "))])
)

const assignsTransactionId = "assigns a transaction id"
const failsOnStandby = "fails on a standby"
const readsByName = "reads whatever its arguments name"

/** STABLE or IMMUTABLE, yet nothing for a standby, and evaluated by the planner already. */
export const harmfulFunctions: ReadonlyMap<string, string> = new Map([
  ["txid_current", assignsTransactionId],
  ["pg_current_xact_id", assignsTransactionId],
  ["pg_walfile_name", failsOnStandby],
  ["pg_walfile_name_offset", failsOnStandby],
  ["table_to_xml", readsByName],
  ["table_to_xml_and_xmlschema", readsByName],
  ["schema_to_xml", readsByName],
  ["schema_to_xml_and_xmlschema", readsByName],
  ["database_to_xml", readsByName],
  ["database_to_xml_and_xmlschema", readsByName]
])
