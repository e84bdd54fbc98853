/**
 * Backups of a PostgreSQL cluster: made in one piece or not at all, read back in full, and restored into a directory
 * that starts.
 *
 * A backup is a directory of ordinary files (tar archives, PostgreSQL's own manifest, and Plinth's `manifest.json` with
 * the commands that restore it without Plinth).
 *
 * @since 0.1.0
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { BackupEngine, Finding, Restored, RestoreOptions } from "./Backup/BackupEngine.ts"
import { BackupError } from "./Backup/BackupError.ts"
import * as BackupLabel from "./Backup/BackupLabel.ts"
import * as BackupManifests from "./Backup/BackupManifest.ts"
import type { BackupManifest } from "./Backup/BackupManifest.ts"
import type { BackupStorage, StorageLock } from "./Backup/BackupStorage.ts"
import * as Catalog from "./Backup/Catalog.ts"
import type { Listing } from "./Backup/Catalog.ts"
import * as LocalStorage from "./Backup/LocalStorage.ts"
import * as PhysicalEngine from "./Backup/PhysicalEngine.ts"
import type { OnProgress } from "./Backup/Progress.ts"
import type { ConnectionTarget } from "./DatabaseConfig.ts"
import { packageVersion } from "./internal/packageVersion.ts"

export type {
  BackupEngine,
  EngineSession,
  Finding,
  Restored,
  RestoreOptions,
  StoredBackup
} from "./Backup/BackupEngine.ts"
export { BackupError } from "./Backup/BackupError.ts"
export type { BackupErrorReason } from "./Backup/BackupError.ts"
export { BackupManifest } from "./Backup/BackupManifest.ts"
export type { BackupStorage, Draft, FileWriter, StorageLock, StoredFile } from "./Backup/BackupStorage.ts"
export type { Listing, Unreadable } from "./Backup/Catalog.ts"
export type { OnProgress, Phase, Progress } from "./Backup/Progress.ts"

/**
 * The answer of `verify`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Verification {
  readonly label: string
  /** Every byte is what was written, every file of the cluster what PostgreSQL sent, and the WAL to recover is there. */
  readonly ok: boolean
  readonly findings: ReadonlyArray<Finding>
  readonly files: number
  /** As stored. */
  readonly bytes: number
  readonly elapsed: Duration.Duration
}

/**
 * @since 0.1.0
 * @category options
 */
export interface ProgressOptions {
  readonly onProgress?: OnProgress | undefined
}

/**
 * Create, list, show, verify and restore backups. A label is one that `list` shows, or `latest`.
 *
 * @since 0.1.0
 * @category tags
 */
export class Backup extends Context.Tag("plinth/Backup")<
  Backup,
  {
    /** Makes a backup. It is listed only once it is complete and on the disk. */
    readonly create: (options?: ProgressOptions) => Effect.Effect<BackupManifest, BackupError>
    /** What there is, the newest first. Removes what a killed `create` has left. */
    readonly list: Effect.Effect<Listing, BackupError>
    readonly show: (label: string) => Effect.Effect<BackupManifest, BackupError>
    /** Reads everything back. Damage is in the answer; the error says that it could not look. */
    readonly verify: (label: string, options?: ProgressOptions) => Effect.Effect<Verification, BackupError>
    /** Restores into a new data directory, or changes nothing. */
    readonly restore: (label: string, options: RestoreOptions) => Effect.Effect<Restored, BackupError>
  }
>() {}

/**
 * @since 0.1.0
 * @category options
 */
export interface Options {
  /** The server to back up. It is connected to by `create` alone. */
  readonly source: ConnectionTarget
  /** Where backups are kept, one directory for each cluster. Created with the first backup. */
  readonly directory: string
  /**
   * gzip in independent blocks, which any gunzip reads.
   *
   * @default "gzip"
   */
  readonly compression?: "gzip" | "none" | undefined
  /**
   * From 1 (fast) to 9 (small). Measured on a 370 MB pgbench cluster, level 1 runs at 820 MB/s on two threads for a ratio
   * of 15.3, level 6 at 167 MB/s for 16.5.
   *
   * @default 1
   */
  readonly compressionLevel?: number | undefined
  /**
   * How long the server may send nothing while it copies.
   *
   * @default "2 minutes"
   */
  readonly stallTimeout?: Duration.DurationInput | undefined
}

/**
 * The service over a storage and an engine.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: { readonly storage: BackupStorage; readonly engine: BackupEngine }): Backup["Type"] => {
  const { engine, storage } = options

  /** `latest`, or the label itself. */
  const resolve = (label: string): Effect.Effect<string, BackupError> =>
    label !== "latest"
      ? Effect.succeed(label)
      : Effect.flatMap(Catalog.list(storage), ({ backups: [newest] }) =>
          newest === undefined
            ? new BackupError({
                reason: "NotFound",
                label,
                path: storage.location,
                description: `there is no complete backup in ${storage.location}`,
                advice: "Create one."
              })
            : Effect.succeed(newest.label)
        )

  const read = (label: string) => Effect.flatMap(resolve(label), (resolved) => Catalog.read(storage, resolved))

  const create = Effect.fn("Backup.create")(
    function* (createOptions: ProgressOptions = {}) {
      const { onProgress = ignoreProgress } = createOptions
      const session = yield* engine.open
      const lock = yield* storage.lock({ target: session.target })
      yield* logSwept(yield* lock.sweep)
      const before = yield* Catalog.list(storage)
      const taken = new Set([...before.backups, ...before.unreadable].map(({ label }) => label))
      const now = yield* DateTime.now
      const label = yield* BackupLabel.make(now, taken)
      const warnings = clockWarnings(before, session.server.systemIdentifier, now)
      yield* Effect.annotateCurrentSpan("plinth.backup.label", label)
      const draft = yield* lock.draft(label)
      const copied = yield* session
        .copy(draft, onProgress)
        .pipe(Effect.mapError((error) => error.during("create", label)))
      const manifest: BackupManifest = {
        formatVersion: BackupManifests.formatVersion,
        plinthVersion: packageVersion,
        label,
        status: "complete",
        engine: engine.name,
        server: session.server,
        ...copied,
        warnings: [...copied.warnings, ...warnings]
      }
      yield* Effect.scoped(
        Effect.gen(function* () {
          const file = yield* draft.create(BackupManifests.fileName)
          yield* file.write(new TextEncoder().encode(BackupManifests.encode(manifest)))
          yield* file.finish
        })
      )
      yield* draft.publish
      return manifest
    },
    Effect.scoped,
    Effect.mapError((error) => error.during("create"))
  )

  /** A listing must work on a medium that cannot be written: sweeping is tried, and left to the next create. */
  const sweep = Effect.gen(function* () {
    if (!(yield* storage.hasLeftovers)) return
    const swept = yield* Effect.scoped(Effect.flatMap(storage.lock({}), (lock: StorageLock) => lock.sweep))
    yield* logSwept(swept)
  }).pipe(
    Effect.catchAll((error) => Effect.logDebug("leftovers of an interrupted backup were not removed", error.message))
  )

  const verify = Effect.fn("Backup.verify")(function* (label: string, verifyOptions: ProgressOptions = {}) {
    const { onProgress = ignoreProgress } = verifyOptions
    const startedAt = yield* Clock.currentTimeMillis
    const resolved = yield* Effect.mapError(resolve(label), (error) => error.during("verify"))
    const answer = (findings: ReadonlyArray<Finding>, files: BackupManifest["files"]) =>
      Effect.map(Clock.currentTimeMillis, (now): Verification => ({
        label: resolved,
        ok: findings.length === 0,
        findings,
        files: files.length,
        bytes: files.reduce((total, { bytes }) => total + bytes, 0),
        elapsed: Duration.millis(Math.max(0, now - startedAt))
      }))
    return yield* Catalog.read(storage, resolved).pipe(
      Effect.matchEffect({
        onFailure: (error) =>
          error.reason === "Damaged"
            ? answer([{ file: BackupManifests.fileName, problem: error.description }], [])
            : Effect.fail(error),
        onSuccess: (manifest) =>
          Effect.flatMap(engine.verify({ manifest, storage }, onProgress), (findings) =>
            answer(findings, manifest.files)
          )
      }),
      Effect.mapError((error) => error.during("verify", resolved))
    )
  })

  return {
    create,
    list: Effect.zipRight(sweep, Catalog.list(storage)).pipe(
      Effect.mapError((error) => error.during("list")),
      Effect.withSpan("Backup.list")
    ),
    show: Effect.fn("Backup.show")(function* (label: string) {
      return yield* Effect.mapError(read(label), (error) => error.during("show", label))
    }),
    verify,
    restore: Effect.fn("Backup.restore")(function* (label: string, restoreOptions: RestoreOptions) {
      return yield* Effect.flatMap(read(label), (manifest) =>
        engine.restore({ manifest, storage }, restoreOptions)
      ).pipe(Effect.mapError((error) => error.during("restore", label)))
    })
  }
}

/**
 * Physical backups in a local directory.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<Backup, never, FileSystem.FileSystem | Path.Path> =>
  Layer.effect(
    Backup,
    Effect.gen(function* () {
      const { compression = "gzip", compressionLevel = 1, directory, source, stallTimeout = "2 minutes" } = options
      const storage = yield* LocalStorage.make(directory)
      const engine = yield* PhysicalEngine.make({
        source,
        compression: compression === "none" ? { algorithm: "none" } : { algorithm: "gzip", level: compressionLevel },
        stallTimeout: Duration.decode(stallTimeout)
      })
      return make({ engine, storage })
    })
  )

/**
 * A service of which a test gives only what it needs; the rest dies when it is called.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerTest = (partial: Partial<Backup["Type"]>): Layer.Layer<Backup> => Layer.mock(Backup, partial)

/**
 * The command that starts a server on a restored directory without PostgreSQL's own programs, as a shell reads it.
 *
 * @since 0.1.0
 * @category accessors
 */
export const startCommand = ({ directory }: Pick<Restored, "directory">): string =>
  `plinth dev --directory ${/^[\w/.@%+=:,-]+$/.test(directory) ? directory : `'${directory.replaceAll("'", "'\\''")}'`} --replicas 0`

const ignoreProgress: OnProgress = () => Effect.void

const logSwept = (names: ReadonlyArray<string>): Effect.Effect<void> =>
  names.length === 0 ? Effect.void : Effect.logInfo("removed what interrupted backups had left", { names })

/** The order of backups does not depend on clocks, but a person reads their labels. */
const clockWarnings = (before: Listing, systemIdentifier: string, now: DateTime.Utc): ReadonlyArray<string> => {
  const newest = before.backups.find(({ server }) => server.systemIdentifier === systemIdentifier)
  return newest !== undefined && DateTime.greaterThan(newest.start.at, now)
    ? [`this machine's clock is behind the backup before this one (${newest.label}): labels are not in order of time`]
    : []
}
