/**
 * The configuration of embedded servers: what every server gets, what throw-away ones relax, and the file of the few
 * settings that differ from node to node.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import type { Binaries } from "./Binaries.ts"
import type { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"
import { fromPlatform } from "./EmbeddedPostgresError.ts"
import type { ServerAccount } from "./ServerAccount.ts"
import * as Account from "./ServerAccount.ts"

export type Settings = Readonly<Record<string, string>>

const everywhere: Settings = {
  listen_addresses: "127.0.0.1",
  // A socket's path may have 107 bytes, and temporary directories are longer.
  unix_socket_directories: "",
  // POSIX segments in /dev/shm would outlive a killed server.
  dynamic_shared_memory_type: "mmap",
  max_connections: "200",
  max_prepared_transactions: "10",
  wal_level: "replica",
  hot_standby: "on",
  hot_standby_feedback: "off",
  max_wal_senders: "20",
  max_replication_slots: "20",
  // What a replica may miss while it is frozen or stopped, and what a new copy needs to start from.
  wal_keep_size: "256MB",
  wal_retrieve_retry_interval: "100ms",
  wal_receiver_status_interval: "1s",
  // `off` would show a commit on the replicas up to 200 ms later.
  synchronous_commit: "on",
  log_line_prefix: "%m [%p] %a ",
  log_timezone: "UTC",
  timezone: "UTC"
}

const throwAway: Settings = {
  fsync: "off",
  max_wal_size: "512MB",
  // New segments are holes until they are written.
  wal_init_zero: "off"
}

/** What the servers of one cluster have in common. */
export const common = (binaries: Binaries, durable: boolean, explicit: Settings): Settings => ({
  ...everywhere,
  ...(binaries.hasStatStatements ? { shared_preload_libraries: "pg_stat_statements" } : {}),
  ...(durable ? {} : throwAway),
  ...explicit
})

const quote = (value: string): string => `'${value.replace(/'/g, "''")}'`

const render = (settings: Settings): string =>
  Object.entries(settings)
    .map(([name, value]) => `${name} = ${quote(value)}\n`)
    .join("")

const header =
  "# Written by Plinth at every start. For settings of your own use ALTER SYSTEM, which wins over this file.\n"

const nodeFile = "plinth.node.conf"

/** Writes `postgresql.conf`: the common settings, then the node's own. */
export const write = (
  account: ServerAccount,
  dataDirectory: string,
  settings: Settings
): Effect.Effect<void, EmbeddedPostgresError, FileSystem.FileSystem> =>
  replaceFile(
    account,
    join(dataDirectory, "postgresql.conf"),
    `${header}${render(settings)}include_if_exists = '${nodeFile}'\n`
  )

/** What differs from node to node. */
export interface NodeSettings {
  readonly port: number
  /** Where a standby gets its WAL from; empty on a primary. */
  readonly primaryConnection: string
  /** How long a standby waits before it replays a commit. */
  readonly applyDelay: Duration.Duration
}

/** Reads the node's own settings back. */
export const readNode = (
  dataDirectory: string
): Effect.Effect<NodeSettings, EmbeddedPostgresError, FileSystem.FileSystem> =>
  FileSystem.FileSystem.pipe(
    Effect.flatMap((fs) => fs.readFileString(join(dataDirectory, nodeFile))),
    Effect.map((text) => {
      const value = (name: string) => new RegExp(`^${name} = '(.*)'$`, "m").exec(text)?.[1]?.replace(/''/g, "'")
      return {
        port: Number(value("port")),
        primaryConnection: value("primary_conninfo") ?? "",
        applyDelay: Duration.millis(Number.parseInt(value("recovery_min_apply_delay") ?? "0", 10))
      }
    }),
    Effect.mapError(fromPlatform("read configuration"))
  )

/** Writes the node's own settings; a reload makes a running server take all but the port. */
export const writeNode = (
  account: ServerAccount,
  dataDirectory: string,
  node: NodeSettings
): Effect.Effect<void, EmbeddedPostgresError, FileSystem.FileSystem> =>
  replaceFile(
    account,
    join(dataDirectory, nodeFile),
    render({
      port: String(node.port),
      primary_conninfo: node.primaryConnection,
      recovery_min_apply_delay: `${Math.round(Duration.toMillis(node.applyDelay))}ms`
    })
  )

/** Replaces a file in one step, owned by the account and closed to others. */
export const replaceFile = (
  account: ServerAccount,
  path: string,
  text: string
): Effect.Effect<void, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const fresh = `${path}.new`
    yield* fs.writeFileString(fresh, text, { mode: 0o600 })
    yield* Account.give(account, fresh)
    yield* fs.rename(fresh, path)
  }).pipe(Effect.mapError(fromPlatform("write configuration")))
