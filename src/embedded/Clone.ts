/**
 * A copy of a running primary's data directory, as a base backup between two directories of one machine: it needs no
 * client program and no replication connection.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import * as ControlSession from "./ControlSession.ts"
import { EmbeddedPostgresError, fromPlatform } from "./EmbeddedPostgresError.ts"
import type { Upstream } from "./Endpoint.ts"
import type { Installation } from "./Installation.ts"
import * as Account from "./ServerAccount.ts"
import { replaceFile } from "./ServerSettings.ts"
import { makeDataDirectory } from "./Template.ts"

// What a backup leaves out, by the manual's chapter "Making a Base Backup Using the Low Level API"; and what is the
// primary's own.
const skipped = new Set(["postmaster.pid", "postmaster.opts", "standby.signal", "recovery.signal", "backup_label"])
const emptied = new Set([
  "pg_wal",
  "pg_replslot",
  "pg_dynshmem",
  "pg_notify",
  "pg_serial",
  "pg_snapshots",
  "pg_stat_tmp",
  "pg_subtrans"
])
const temporary = /^(pgsql_tmp|pg_internal\.init)/

const unsupported = (path: string) =>
  new EmbeddedPostgresError({
    reason: "FileSystem",
    operation: "clone",
    description: `${path} is a symbolic link, and a copy of a tablespace would need a place of its own`,
    path
  })

const copyFile = (installation: Installation, from: string, to: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    yield* fs.copyFile(from, to)
    yield* Account.give(installation.account, to)
  }).pipe(
    // The primary runs: a table dropped since the directory was read is missing from the copy, and replay expects that.
    Effect.catchTag("SystemError", (error) => (error.reason === "NotFound" ? Effect.void : Effect.fail(error))),
    Effect.mapError(fromPlatform("clone"))
  )

const copyDirectory = (
  installation: Installation,
  from: string,
  to: string,
  top: boolean
): Effect.Effect<void, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    yield* makeDataDirectory(installation, to)
    const names = yield* fs.readDirectory(from).pipe(Effect.mapError(fromPlatform("clone")))
    yield* Effect.forEach(
      names.filter((name) => !temporary.test(name) && !(top && skipped.has(name))),
      (name) =>
        Effect.gen(function* () {
          const [source, target] = [join(from, name), join(to, name)]
          if (top && emptied.has(name)) return yield* makeDataDirectory(installation, target)
          if (Option.isSome(yield* Effect.option(fs.readLink(source)))) return yield* unsupported(source)
          const info = yield* Effect.option(fs.stat(source))
          if (Option.isNone(info)) return
          yield* info.value.type === "Directory"
            ? copyDirectory(installation, source, target, false)
            : copyFile(installation, source, target)
        }),
      { concurrency: 8, discard: true }
    )
  })

// Renamed in PostgreSQL 15, when the exclusive mode went.
const statements = (major: number) =>
  major >= 15
    ? { start: "select pg_backup_start('plinth clone', true)::text as lsn", stop: "pg_backup_stop(false)" }
    : {
        start: "select pg_start_backup('plinth clone', true, false)::text as lsn",
        stop: "pg_stop_backup(false, false)"
      }

/** Copies the primary into `target`, which must not exist. The copy starts as whatever its signal files say. */
export const clone = (
  installation: Installation,
  primary: Upstream,
  target: string
): Effect.Effect<void, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const session = yield* ControlSession.open(primary, "clone")
    const { start, stop } = statements(installation.binaries.major)
    yield* session.rows(Schema.Struct({ lsn: Schema.String }), start)
    yield* copyDirectory(installation, primary.dataDirectory, target, true)
    yield* makeDataDirectory(installation, join(target, "pg_wal", "archive_status"))
    const labels = yield* session.rows(Schema.Struct({ labelfile: Schema.String }), `select labelfile from ${stop}`)
    yield* replaceFile(installation.account, join(target, "backup_label"), labels[0]?.labelfile ?? "")
  }).pipe(Effect.scoped)
