/**
 * A cluster made once and copied for every throw-away server: `initdb`, one start with the final configuration, a clean
 * stop. Copies of it share a system identifier, so a copy can stream from another copy without a base backup.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import { dirname, join } from "node:path"
import * as CacheDirectory from "./CacheDirectory.ts"
import { EmbeddedPostgresError, fromPlatform } from "./EmbeddedPostgresError.ts"
import type { Installation } from "./Installation.ts"
import * as Primary from "./Primary.ts"
import { run } from "./Program.ts"
import * as Server from "./Server.ts"
import * as Account from "./ServerAccount.ts"
import * as Settings from "./ServerSettings.ts"
import * as TemporaryDirectory from "./TemporaryDirectory.ts"
import { watch } from "./Watchdog.ts"

/** UTF-8 with the sort order of C everywhere: the same order on every machine, and no locale to install. */
const locale = (major: number): ReadonlyArray<string> => [
  "--encoding=UTF8",
  "--locale=C",
  ...(major >= 17 ? ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] : [])
]

/** Runs `initdb` into an empty directory that the account owns. */
export const initialize = (
  installation: Installation,
  dataDirectory: string,
  authentication: ReadonlyArray<string>
): Effect.Effect<void, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const { account, binaries, watchdog } = installation
    const { inherited, name } = yield* Account.reach(account, dataDirectory)
    const outcome = yield* run(
      account,
      join(binaries.directory, "initdb"),
      [
        `--pgdata=${name}`,
        "--username=postgres",
        "--data-checksums",
        "--no-instructions",
        ...locale(binaries.major),
        ...authentication
      ],
      { inherited, onStart: watch(watchdog) }
    )
    if (outcome.code === 0) return
    return yield* new EmbeddedPostgresError({
      reason: "InitFailed",
      operation: "initdb",
      description: `initdb exited with ${outcome.code}`,
      path: dataDirectory,
      output: outcome.stderr.trim()
    })
  })

/** Makes an empty directory for a cluster: owned by the account, closed to others. */
export const makeDataDirectory = (
  installation: Installation,
  path: string
): Effect.Effect<void, EmbeddedPostgresError, FileSystem.FileSystem> =>
  FileSystem.FileSystem.pipe(
    Effect.flatMap((fs) => fs.makeDirectory(path, { mode: 0o700 })),
    Effect.zipRight(Account.give(installation.account, path)),
    Effect.mapError(fromPlatform("make a data directory"))
  )

// A server writes these into its control file, and a standby refuses to start with less. The other settings may differ
// from copy to copy.
const recorded = [
  "max_connections",
  "max_prepared_transactions",
  "max_wal_senders",
  "max_worker_processes",
  "max_locks_per_transaction",
  "wal_level",
  "track_commit_timestamp"
]

const key = (installation: Installation, settings: Settings.Settings): string => {
  const relevant = recorded.map((name) => [name, settings[name] ?? ""])
  const { account, binaries } = installation
  const identity = JSON.stringify([2, binaries.version, account.uid, locale(binaries.major), relevant])
  return `cluster-${binaries.versionNumber}-${createHash("sha256").update(identity).digest("hex").slice(0, 16)}`
}

const fileCount = "files"

const countFiles = (dataDirectory: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) =>
    Effect.map(fs.readDirectory(dataDirectory, { recursive: true }), (names) => names.length)
  )

// A WAL segment has 16 MB, and in a new cluster most of them are zeros: as a hole they cost no copy any time or space.
const punchWal = (directory: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const segments = (yield* fs.readDirectory(directory)).filter((name) => /^[0-9A-F]{24}$/.test(name))
    yield* Effect.forEach(
      segments,
      (name) =>
        Effect.gen(function* () {
          const path = join(directory, name)
          const bytes = yield* fs.readFile(path)
          const used = bytes.findLastIndex((byte) => byte !== 0) + 1
          yield* fs.truncate(path, used)
          yield* fs.truncate(path, bytes.length)
        }),
      { discard: true }
    )
  })

const build = (
  installation: Installation,
  settings: Settings.Settings,
  cache: string,
  target: string
): Effect.Effect<void, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const building = yield* TemporaryDirectory.make(installation.watchdog, cache, "building")
    const dataDirectory = join(building, "data")
    yield* makeDataDirectory(installation, dataDirectory)
    yield* initialize(installation, dataDirectory, ["--auth=trust", "--no-sync"])
    yield* Settings.write(installation.account, dataDirectory, settings)
    const server: Server.Server = {
      name: "template",
      dataDirectory,
      logFile: join(building, "log"),
      installation,
      startTimeout: Duration.minutes(1)
    }
    yield* Effect.ensuring(Primary.start(server), Effect.ignore(Server.stop(server)))
    yield* punchWal(join(dataDirectory, "pg_wal"))
    yield* fs.writeFileString(join(building, fileCount), String(yield* countFiles(dataDirectory)))
    // Whoever comes second throws its own away.
    yield* Effect.unlessEffect(fs.rename(building, target), fs.exists(target))
  }).pipe(Effect.scoped, Effect.mapError(fromPlatform("make the cluster template")))

/** The data directory of the template for this version and configuration, made when there is none yet. */
export const get = (
  installation: Installation,
  settings: Settings.Settings
): Effect.Effect<string, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const cache = yield* CacheDirectory.find(installation.account)
    const target = join(cache, key(installation, settings))
    yield* Effect.unlessEffect(build(installation, settings, cache, target), fs.exists(target))
    return join(target, "data")
  }).pipe(Effect.mapError(fromPlatform("find the cluster template")))

/** Removes the template when files of it are missing (cleaners of /tmp remove old ones one by one); true if so. */
export const discardDamaged = (
  dataDirectory: string
): Effect.Effect<boolean, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const directory = dirname(dataDirectory)
    const made = Number(yield* fs.readFileString(join(directory, fileCount)))
    if ((yield* countFiles(dataDirectory)) === made) return false
    yield* Server.removeDirectory(directory)
    return true
  }).pipe(Effect.mapError(fromPlatform("check the cluster template")))
