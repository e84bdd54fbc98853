/**
 * A server on a data directory that already exists, such as a restored backup: it starts with a configuration of ours, so
 * that nothing of the original's (archiving, TLS files, ports, libraries) is touched or needed.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { join, resolve } from "node:path"
import { EmbeddedPostgresError, fromPlatform } from "./EmbeddedPostgresError.ts"
import type { Installation } from "./Installation.ts"
import type { Node } from "./Node.ts"
import * as Nodes from "./Node.ts"
import * as Directory from "./PersistentDirectory.ts"
import * as PostmasterFile from "./PostmasterFile.ts"
import { runSystem } from "./Program.ts"
import * as Server from "./Server.ts"
import * as Settings from "./ServerSettings.ts"
import * as Standby from "./Standby.ts"
import * as TemporaryDirectory from "./TemporaryDirectory.ts"
import { addServer } from "./Watchdog.ts"

// On the command line they win over the directory's postgresql.auto.conf. The scratch server must never archive into the
// original's archive.
const overrides: Settings.Settings = {
  ssl: "off",
  archive_mode: "off",
  log_destination: "stderr",
  logging_collector: "off",
  // Recovery stops when the original allowed more of these than the scratch server.
  max_prepared_transactions: "100",
  max_locks_per_transaction: "256"
}

const trust = "host all all 127.0.0.1/32 trust\n"

// Recursive, and a restored cluster may have many thousand files: one program does it faster than we.
const giveTree = (directory: string, owner: { readonly uid: number; readonly gid: number }) =>
  runSystem("chown", ["-R", `${owner.uid}:${owner.gid}`, directory])

// While the scope is open the directory belongs to the account that runs the server, afterwards to whom it belonged.
const borrow = (installation: Installation, directory: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const { account } = installation
    const info = yield* fs.stat(directory)
    const original = { uid: Option.getOrElse(info.uid, () => 0), gid: Option.getOrElse(info.gid, () => 0) }
    yield* Effect.acquireRelease(
      Effect.zipRight(account.switched ? giveTree(directory, account) : Effect.void, fs.chmod(directory, 0o700)),
      () =>
        Effect.zipRight(
          Effect.ignoreLogged(fs.chmod(directory, info.mode & 0o777)),
          account.switched ? Effect.ignoreLogged(giveTree(directory, original)) : Effect.void
        )
    )
  }).pipe(Effect.mapError(fromPlatform("start an existing cluster")))

const commandLine = (settings: Settings.Settings): ReadonlyArray<string> =>
  Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])

/** Starts a server on the directory; it stops with the scope, and the directory stays. */
export const make = (
  installation: Installation,
  options: {
    readonly dataDirectory: string
    readonly settings: Settings.Settings
    readonly startTimeout: Duration.Duration
  }
): Effect.Effect<Node, EmbeddedPostgresError, FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const { account, binaries, watchdog } = installation
    const dataDirectory = yield* fs.realPath(resolve(options.dataDirectory))
    const version = yield* fs.readFileString(join(dataDirectory, "PG_VERSION"))
    yield* Directory.checkMajor(installation, dataDirectory, Number.parseInt(version, 10))
    const current = yield* PostmasterFile.running(dataDirectory)
    if (Option.isSome(current)) {
      return yield* new EmbeddedPostgresError({
        reason: "InUse",
        operation: "start an existing cluster",
        description: `a server (process ${current.value.pid}) runs on ${dataDirectory}`,
        path: dataDirectory
      })
    }
    const configuration = yield* TemporaryDirectory.makeForServers(watchdog, account)
    yield* borrow(installation, dataDirectory)
    yield* PostmasterFile.removeStale(dataDirectory)
    yield* Settings.replaceFile(account, join(configuration, "postgresql.conf"), "")
    yield* Settings.replaceFile(account, join(configuration, "pg_hba.conf"), trust)
    yield* Settings.replaceFile(account, join(configuration, "pg_ident.conf"), "")
    const standby = yield* Standby.isStandby(dataDirectory)
    const describe = (port: number): Server.Server => ({
      name: "scratch",
      dataDirectory,
      logFile: join(configuration, "log"),
      installation,
      startTimeout: options.startTimeout,
      args: commandLine({
        ...Settings.common(binaries, true, overrides),
        ...(binaries.hasStatStatements ? {} : { shared_preload_libraries: "" }),
        hot_standby: standby ? "on" : "off",
        ...options.settings,
        config_file: join(configuration, "postgresql.conf"),
        hba_file: join(configuration, "pg_hba.conf"),
        ident_file: join(configuration, "pg_ident.conf"),
        port: String(port)
      })
    })
    yield* addServer(watchdog, dataDirectory)
    yield* Effect.addFinalizer(() => Nodes.inRealTime(Effect.ignoreLogged(Server.stop(describe(0)))))
    const port = yield* Server.startOnFreePort((port) => Server.start(describe(port), port))
    return yield* Nodes.make(describe(port), port, Option.none(), () => [])
  }).pipe(Effect.mapError(fromPlatform("start an existing cluster")))
