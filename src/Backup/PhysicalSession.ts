/**
 * Opens the session of a physical backup: version, privilege, lock and WAL retention are settled before a byte is copied.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { nodeName } from "../DatabaseConfig.ts"
import type { ConnectionTarget } from "../DatabaseConfig.ts"
import type { DatabaseError } from "../DatabaseError.ts"
import * as Replication from "../internal/pg/Replication.ts"
import { BackupError } from "./BackupError.ts"
import type { BackupManifest } from "./BackupManifest.ts"

export interface PhysicalSession {
  readonly replication: Replication.ReplicationSession
  readonly server: BackupManifest["server"]
  readonly target: string
  readonly warnings: ReadonlyArray<string>
}

/** The first one whose BASE_BACKUP sends all archives in one COPY and takes a manifest for granted. */
const firstSupportedMajor = 15

/** Two numbers that spell "plin" and "bkup": one physical backup per database at a time. */
const lockKey = "1886153070, 1651209584"

const serverSql = `SELECT current_setting('server_version_num'), current_setting('server_version'),
  pg_catalog.pg_is_in_recovery(), (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_segment_size')`

const holderSql = `SELECT a.pid, a.application_name, coalesce(a.client_addr::text, 'local'), a.backend_start
  FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
  WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND (l.classid, l.objid) = (${lockKey})
    AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())`

/** A failure before, or while, the server sends. */
export const fromDatabase =
  (target: ConnectionTarget) =>
  (error: DatabaseError | Replication.ReplicationStalled): BackupError => {
    const node = nodeName(target)
    if (error._tag === "ReplicationStalled") {
      return new BackupError({
        reason: "Stalled",
        node,
        description: `${node} sent nothing for ${Duration.format(error.after)}`,
        advice:
          "Check the network between here and the server, and the server's load; raise stallTimeout if it is that slow.",
        cause: error
      })
    }
    if (isRefused(error)) {
      return new BackupError({
        reason: "ReplicationRefused",
        node,
        description: `${node} does not accept a replication connection of ${target.username}: ${error.description}`,
        advice: adviceWhenRefused(error, target),
        cause: error
      })
    }
    return error.operation === "connect"
      ? new BackupError({
          reason: "Unreachable",
          node,
          description: reported(error, node),
          advice: adviceWhenUnreachable(error),
          cause: error
        })
      : new BackupError({
          reason: "ServerFailed",
          node,
          description: reported(error, node),
          advice: "The server's log says why. Nothing of this backup was kept: run it again.",
          cause: error
        })
  }

/** What the server or the driver said; the advice is the backup's own. */
const reported = ({ description, operation, sqlState }: DatabaseError, node: string): string =>
  `${operation} failed on ${node}: ${description}${sqlState === undefined ? "" : ` (SQLSTATE ${sqlState})`}`

/** Insufficient privilege, no line in pg_hba.conf, no free WAL sender, a pooler that knows no replication. */
const isRefused = (error: DatabaseError): boolean =>
  error.sqlState === "42501" ||
  (error.operation === "connect" &&
    ((error.sqlState === "28000" && /pg_hba|replication|walsender|WAL sender/i.test(error.description)) ||
      (error.sqlState === "53300" && /standby connections|max_wal_senders/i.test(error.description)) ||
      /startup parameter.*replication|replication.*not (supported|allowed)/i.test(error.description)))

const adviceWhenRefused = (error: DatabaseError, target: ConnectionTarget): string => {
  const role = `"${target.username.replaceAll('"', '""')}"`
  if (error.sqlState === "53300") return "Raise max_wal_senders, or end a standby or backup that is not needed."
  if (error.sqlState === "28000") {
    return `Allow database ${target.database} and user ${target.username} from this host in pg_hba.conf and reload.`
  }
  return (
    `Run ALTER ROLE ${role} REPLICATION as a superuser, and connect to the server itself and not to a pooler. ` +
    "Where the provider offers no replication connections (most managed services), take a logical backup with pg_dump."
  )
}

const adviceWhenUnreachable = (error: DatabaseError): string =>
  error.sqlState === "3D000"
    ? "Check the name of the database in the URL; a backup is of the whole cluster, so any database of it will do."
    : "Check that the server runs and that host, port, user and password are right."

const unsupported = (node: string, version: string): BackupError =>
  new BackupError({
    reason: "UnsupportedServer",
    node,
    description: `${node} runs PostgreSQL ${version}, and the physical engine needs ${firstSupportedMajor} or newer`,
    advice: "Take a logical backup of this server with pg_dump, or upgrade it."
  })

/** Ends with the scope, and the lock and the retained WAL with it. */
export const open = (
  target: ConnectionTarget,
  options: { readonly stallTimeout: Duration.Duration }
): Effect.Effect<PhysicalSession, BackupError, Scope.Scope> =>
  Effect.gen(function* () {
    const node = nodeName(target)
    const replication = yield* Replication.open(target, options)
    const [[versionNumber = null, version = null, inRecovery = null, walSegmentBytes = null] = []] =
      yield* replication.query(serverSql)
    if (Number(versionNumber) < firstSupportedMajor * 10_000) return yield* unsupported(node, version ?? "")
    const [[systemIdentifier = null] = []] = yield* replication.query("IDENTIFY_SYSTEM")
    if (systemIdentifier === null) return yield* unsupported(node, version ?? "")
    yield* takeLock(replication, node)
    const server = {
      version: version ?? "",
      versionNumber: Number(versionNumber),
      systemIdentifier,
      node,
      inRecovery: inRecovery === "t",
      walSegmentBytes: Number(walSegmentBytes)
    }
    const warnings = yield* retainWal(replication)
    return { replication, server, target: `${systemIdentifier}/${target.database}`, warnings }
  }).pipe(Effect.mapError((error) => (error._tag === "BackupError" ? error : fromDatabase(target)(error))))

const takeLock = (replication: Replication.ReplicationSession, node: string) =>
  Effect.gen(function* () {
    const [[granted = null] = []] = yield* replication.query(`SELECT pg_catalog.pg_try_advisory_lock(${lockKey})`)
    if (granted === "t") return
    const [holder] = yield* replication.query(holderSql)
    const who =
      holder === undefined
        ? "another session"
        : `server process ${holder[0]} (${holder[1]} from ${holder[2]}, since ${holder[3]})`
    return yield* new BackupError({
      reason: "AlreadyRunning",
      node,
      description: `a backup of ${node} is under way, held by ${who}`,
      advice: "Wait until it has finished, or end it."
    })
  })

/**
 * Keeps the WAL that is written meanwhile, which the backup needs at its end: without it, a busy server could have
 * recycled it by then. The slot is temporary and goes with the session.
 */
const retainWal = (replication: Replication.ReplicationSession): Effect.Effect<ReadonlyArray<string>> =>
  Effect.gen(function* () {
    const [[pid = null] = []] = yield* replication.query("SELECT pg_catalog.pg_backend_pid()")
    yield* replication.query(`CREATE_REPLICATION_SLOT plinth_backup_${pid} TEMPORARY PHYSICAL RESERVE_WAL`)
    return []
  }).pipe(
    Effect.catchAll((error) =>
      Effect.succeed([
        `no replication slot could be had (${error.message}): a busy server may have removed WAL that the backup needs, ` +
          "which then fails at its end"
      ])
    )
  )
