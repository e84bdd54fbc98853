/**
 * Restores a physical backup into a new data directory, which appears only when every file in it was checked and is on
 * the disk.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { makeDirectories } from "../internal/makeDirectories.ts"
import * as DiskSpace from "../internal/node/DiskSpace.ts"
import type { Restored, RestoreOptions, StoredBackup } from "./BackupEngine.ts"
import { BackupError, fromPlatform } from "./BackupError.ts"
import { DataDirectory } from "./DataDirectory.ts"
import * as Durable from "./Durable.ts"
import * as Extraction from "./Extraction.ts"
import * as FileLock from "./FileLock.ts"
import { checkFiles, isArchive } from "./PhysicalVerify.ts"
import * as Progress from "./Progress.ts"

/** Bytes that a file may take beyond its length, for the preflight. */
const blockBytes = 4096

const refused = (path: string, description: string, advice: string): BackupError =>
  new BackupError({ reason: "TargetRefused", path, description, advice })

export const restore = (
  backup: StoredBackup,
  options: RestoreOptions
): Effect.Effect<Restored, BackupError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const target = path.resolve(options.directory)
    const parent = path.dirname(target)
    const partial = `${target}.partial`
    const onProgress = options.onProgress ?? (() => Effect.void)
    yield* preflightVersion(backup, options)
    yield* preflightFiles(backup)
    yield* preflightTarget(fs, target)
    yield* Effect.mapError(makeDirectories(fs, path, parent, { mode: 0o755 }), fromPlatform(parent))
    yield* preflightSpace(backup, parent)
    const place = { directory: parent, name: path.basename(target) }
    yield* FileLock.make(fs, path).acquire(place, { busy: `${target} is being restored` })
    yield* Effect.acquireRelease(
      // A restore that was killed left it behind: nobody else can hold the lock.
      fs
        .remove(partial, { recursive: true, force: true })
        .pipe(Effect.zipRight(fs.makeDirectory(partial, { mode: 0o700 })), Effect.mapError(fromPlatform(partial))),
      () => Effect.ignoreLogged(fs.remove(partial, { recursive: true, force: true }))
    )
    const directory = new DataDirectory(fs, path, { root: partial, finalRoot: target, owner: options.owner })
    const written = yield* Extraction.extract(backup, directory, onProgress)
    yield* Effect.mapError(directory.own, fromPlatform(partial))
    if (options.sync !== false) {
      const syncing = yield* Progress.start(onProgress, "sync", written.bytes)
      yield* Effect.mapError(directory.sync, fromPlatform(partial))
      yield* syncing.done
    }
    yield* Effect.uninterruptible(
      fs.rename(partial, target).pipe(
        Effect.zipRight(Durable.syncDirectory(fs, parent)),
        Effect.mapError((error) => moveRefused(target, fromPlatform(target)(error)))
      )
    )
    return { label: backup.manifest.label, directory: target, ...written }
  }).pipe(Effect.scoped)

const preflightVersion = (backup: StoredBackup, options: RestoreOptions): Effect.Effect<void, BackupError> => {
  const { version, versionNumber } = backup.manifest.server
  const major = Math.floor(versionNumber / 10_000)
  return options.majorVersion === undefined || options.majorVersion === major
    ? Effect.void
    : refused(
        options.directory,
        `it is of PostgreSQL ${version}, and a server of PostgreSQL ${options.majorVersion} cannot run it`,
        `Restore it for PostgreSQL ${major}; to change the version, use pg_upgrade or a logical backup.`
      )
}

/** Sizes cost nothing: a cut or missing file is refused before anything is written. */
const preflightFiles = (backup: StoredBackup): Effect.Effect<void, BackupError> =>
  Effect.flatMap(checkFiles(backup), (findings) => {
    const names = new Set(backup.manifest.files.map(({ name }) => name))
    const finding = findings.find(({ file }) => names.has(file))
    return finding === undefined
      ? Effect.void
      : new BackupError({
          reason: "Damaged",
          path: finding.file,
          description: `${finding.file} ${finding.problem}`,
          advice: "Nothing was restored: choose another backup, and find out what writes to this storage."
        })
  })

const preflightTarget = (fs: FileSystem.FileSystem, target: string): Effect.Effect<void, BackupError> =>
  fs.readDirectory(target).pipe(
    Effect.catchTag("SystemError", (error) => (error.reason === "NotFound" ? Effect.succeed([]) : Effect.fail(error))),
    Effect.mapError(fromPlatform(target)),
    Effect.filterOrFail(
      (names) => names.length === 0,
      () =>
        refused(
          target,
          `${target} is not empty`,
          "Name a directory that does not exist yet: nothing is ever overwritten."
        )
    ),
    Effect.asVoid
  )

const preflightSpace = (backup: StoredBackup, parent: string): Effect.Effect<void, BackupError> =>
  Effect.gen(function* () {
    const needed = backup.manifest.files
      .filter(isArchive)
      .reduce((total, { tarBytes }) => total + tarBytes + blockBytes, 0)
    const available = yield* DiskSpace.availableBytes(parent)
    if (Option.isSome(available) && available.value < needed) {
      return yield* refused(
        parent,
        `${parent} has ${available.value} bytes left, and the cluster has ${needed}`,
        "Free space there, or choose another directory."
      )
    }
  })

/** An empty directory is replaced by rename; one that is a mount point cannot be. */
const moveRefused = (target: string, error: BackupError): BackupError =>
  /EBUSY|EXDEV/.test(error.description)
    ? refused(target, `${target} is a mount point and cannot be replaced`, `Restore into ${target}/data instead.`)
    : error
