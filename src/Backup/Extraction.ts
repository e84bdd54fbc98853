/**
 * Takes the archives of a backup apart into a data directory, checking every file on the way.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ArchiveReader from "./ArchiveReader.ts"
import type { Restored, StoredBackup } from "./BackupEngine.ts"
import { BackupError, fromPlatform } from "./BackupError.ts"
import type { Archive } from "./BackupManifest.ts"
import { ContentCheck } from "./ContentCheck.ts"
import type { DataDirectory } from "./DataDirectory.ts"
import type { DurableFile } from "./Durable.ts"
import * as EntryPlacement from "./EntryPlacement.ts"
import { isArchive } from "./PhysicalVerify.ts"
import * as PostgresManifest from "./PostgresManifest.ts"
import * as Progress from "./Progress.ts"
import type { TarError } from "./TarReader.ts"
import type { TarEntry, TarEvent } from "./TarReader.ts"

type Written = Omit<Restored, "label" | "directory">

/** Files that would make the restored server follow, or recover from, wherever the original one did. */
const signalFiles = ["standby.signal", "recovery.signal"]

export const extract = (
  backup: StoredBackup,
  directory: DataDirectory,
  onProgress: Progress.OnProgress
): Effect.Effect<Written, BackupError> =>
  Effect.gen(function* () {
    const { files, label, server } = backup.manifest
    const archives = files.filter(isArchive)
    const companion = files.find(({ name }) => name === PostgresManifest.fileName)
    if (companion === undefined) return yield* damaged(label, `${PostgresManifest.fileName} is missing`)
    const manifestText = yield* ArchiveReader.text(backup, companion)
    const check = new ContentCheck(yield* PostgresManifest.parse(manifestText), {
      segmentBytes: server.walSegmentBytes,
      systemIdentifier: server.systemIdentifier
    })
    const total = archives.reduce((sum, { tarBytes }) => sum + tarBytes, 0)
    const meter = yield* Progress.start(onProgress, "restore", total)
    const result = { files: 0, bytes: 0 }
    const tablespaces: Array<Restored["tablespaces"][number]> = []
    for (const archive of archives) {
      const writer = new EntryWriter(archive, archives, directory, check, tablespaces)
      yield* ArchiveReader.entries(backup, archive).pipe(
        Stream.runForEach((events) => Effect.zipRight(writer.handle(events), meter.advance(dataBytes(events)))),
        Effect.onExit(() => writer.close),
        Effect.mapError((error) =>
          error._tag === "BackupError" ? error : damaged(label, `${archive.name}: ${error.message}`, error)
        )
      )
      result.files += writer.files
      result.bytes += writer.bytes
    }
    check.finish()
    const [first] = check.findings
    if (first !== undefined) {
      const more = check.findings.length === 1 ? "" : `, and ${check.findings.length - 1} more`
      return yield* damaged(label, `${first.file} ${first.problem}${more}`)
    }
    const warnings = yield* finishDirectory(directory, manifestText)
    yield* meter.done
    return { ...result, tablespaces, warnings }
  })

/** What pg_basebackup leaves beside the files, and what must not start with them. */
const finishDirectory = (
  directory: DataDirectory,
  manifestText: string
): Effect.Effect<ReadonlyArray<string>, BackupError> =>
  Effect.gen(function* () {
    const manifest = yield* directory.createFile([PostgresManifest.fileName])
    yield* manifest.write(new TextEncoder().encode(manifestText))
    const warnings: Array<string> = []
    for (const name of signalFiles) {
      if (yield* directory.remove([name])) {
        warnings.push(`${name} was left out: the restored server starts on its own and follows no other`)
      }
    }
    if (!directory.has("postgresql.conf")) {
      warnings.push("postgresql.conf is not in the data directory of this cluster: name one with -c config_file=..")
    }
    return warnings
  }).pipe(Effect.scoped, Effect.mapError(fromPlatform(PostgresManifest.fileName)))

const damaged = (label: string, problem: string, cause?: unknown): BackupError =>
  new BackupError({
    reason: "Damaged",
    label,
    description: problem,
    advice: "Nothing was restored: choose another backup, and run verify on this one to see all that is wrong.",
    cause
  })

const dataBytes = (events: ReadonlyArray<TarEvent>): number =>
  events.reduce((sum, event) => (event._tag === "Data" ? sum + event.bytes.length : sum), 0)

/** The file that is being written, and what the archive has held so far. */
class EntryWriter {
  files = 0
  bytes = 0
  private readonly archive: Archive
  private readonly archives: ReadonlyArray<Archive>
  private readonly directory: DataDirectory
  private readonly check: ContentCheck
  private readonly tablespaces: Array<Restored["tablespaces"][number]>
  private open: { readonly file: DurableFile; readonly scope: Scope.CloseableScope } | undefined

  constructor(
    archive: Archive,
    archives: ReadonlyArray<Archive>,
    directory: DataDirectory,
    check: ContentCheck,
    tablespaces: Array<Restored["tablespaces"][number]>
  ) {
    this.archive = archive
    this.archives = archives
    this.directory = directory
    this.check = check
    this.tablespaces = tablespaces
  }

  handle(events: ReadonlyArray<TarEvent>): Effect.Effect<void, BackupError | TarError> {
    return Effect.forEach(events, (event) => this.one(event), { concurrency: 1, discard: true })
  }

  get close(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { open } = this
      this.open = undefined
      return open === undefined ? Effect.void : Scope.close(open.scope, Exit.void)
    })
  }

  private one(event: TarEvent): Effect.Effect<void, BackupError | TarError> {
    switch (event._tag) {
      case "Entry":
        return this.begin(event.entry)
      case "Data":
        this.bytes += event.bytes.length
        this.check.data(event.bytes)
        return this.open === undefined
          ? Effect.void
          : Effect.mapError(this.open.file.write(event.bytes), fromPlatform(this.archive.name))
      case "EntryEnd":
        this.check.end()
        return this.close
      case "ArchiveEnd":
        return Effect.void
    }
  }

  private begin(entry: TarEntry): Effect.Effect<void, BackupError | TarError> {
    return Effect.gen(this, function* () {
      const placed = yield* EntryPlacement.place(this.archive, this.archives, entry)
      switch (placed._tag) {
        case "TablespaceLink": {
          const to = yield* Effect.mapError(this.directory.linkTablespace(placed.oid), fromPlatform(entry.path))
          this.tablespaces.push({ oid: placed.oid, from: placed.target, to })
          return
        }
        case "Directory":
          return yield* Effect.mapError(this.directory.makeDirectory(placed.parts), fromPlatform(entry.path))
        case "File": {
          this.check.begin(this.archive.name, placed.name, entry)
          const scope = yield* Scope.make()
          const file = yield* this.directory.createFile(placed.parts).pipe(
            Scope.extend(scope),
            Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))),
            Effect.mapError(fromPlatform(entry.path))
          )
          this.open = { file, scope }
          this.files += 1
        }
      }
    })
  }
}
