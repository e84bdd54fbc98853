/**
 * Reads every byte of a physical backup back: files, archives, the cluster's files within them, and the WAL they need.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import * as ArchiveReader from "./ArchiveReader.ts"
import type { Finding, StoredBackup } from "./BackupEngine.ts"
import type { BackupError } from "./BackupError.ts"
import * as BackupManifest from "./BackupManifest.ts"
import type { Archive, BackupFile } from "./BackupManifest.ts"
import { ContentCheck } from "./ContentCheck.ts"
import * as EntryPlacement from "./EntryPlacement.ts"
import * as PostgresManifest from "./PostgresManifest.ts"
import * as Progress from "./Progress.ts"

export const isArchive = (file: BackupFile): file is Archive => file.kind === "archive"

/** The files are the ones that were written, no more and no less; sizes first, since they cost nothing. */
export const checkFiles = (backup: StoredBackup): Effect.Effect<ReadonlyArray<Finding>, BackupError> =>
  Effect.gen(function* () {
    const { manifest, storage } = backup
    const stored = new Map((yield* storage.files(manifest.label)).map(({ bytes, name }) => [name, bytes]))
    const findings: Array<Finding> = []
    for (const file of manifest.files) {
      const bytes = stored.get(file.name)
      if (bytes === undefined) findings.push({ file: file.name, problem: "is missing" })
      else if (bytes !== file.bytes) {
        findings.push({ file: file.name, problem: `has ${bytes} bytes, and ${file.bytes} were written` })
      }
      stored.delete(file.name)
    }
    stored.delete(BackupManifest.fileName)
    for (const name of stored.keys()) findings.push({ file: name, problem: "does not belong to this backup" })
    return findings
  })

/** PostgreSQL's manifest, or why it cannot be had. */
const postgresManifest = (backup: StoredBackup): Effect.Effect<PostgresManifest.PostgresManifest, BackupError> =>
  Effect.gen(function* () {
    const file = backup.manifest.files.find(({ name }) => name === PostgresManifest.fileName)
    const text = file === undefined ? "" : yield* ArchiveReader.text(backup, file)
    return yield* PostgresManifest.parse(text)
  })

/** One pass over one archive. Whatever its content is wrong with becomes a finding. */
const checkArchive = (
  backup: StoredBackup,
  archive: Archive,
  archives: ReadonlyArray<Archive>,
  check: ContentCheck,
  meter: Progress.Meter
): Effect.Effect<ReadonlyArray<Finding>, BackupError> =>
  ArchiveReader.entries(backup, archive).pipe(
    Stream.runForEach((events) => {
      let bytes = 0
      for (const event of events) {
        if (event._tag === "Entry") {
          const placed = EntryPlacement.place(archive, archives, event.entry)
          if (Either.isLeft(placed)) return Effect.fail(placed.left)
          if (placed.right._tag === "File") check.begin(archive.name, placed.right.name, event.entry)
        } else if (event._tag === "Data") {
          bytes += event.bytes.length
          check.data(event.bytes)
        } else if (event._tag === "EntryEnd") check.end()
      }
      return meter.advance(bytes)
    }),
    Effect.as<ReadonlyArray<Finding>>([]),
    Effect.catchTags({
      TarError: (error) => explain(backup, archive, `is not a tar of a data directory: ${error.description}`),
      GzipError: (error) => explain(backup, archive, `cannot be decompressed: ${error.description}`),
      BackupError: (error) => asFinding(error)
    })
  )

/** The bytes come first: a file that was changed is that, whatever its content looks like now. */
const explain = (
  backup: StoredBackup,
  archive: Archive,
  problem: string
): Effect.Effect<ReadonlyArray<Finding>, BackupError> =>
  Stream.runDrain(ArchiveReader.bytes(backup, archive)).pipe(
    Effect.as([{ file: archive.name, problem }]),
    Effect.catchAll(asFinding)
  )

/** Damage is what verification looks for; that it cannot look is a failure. */
const asFinding = (error: BackupError): Effect.Effect<ReadonlyArray<Finding>, BackupError> =>
  error.reason === "Damaged"
    ? Effect.succeed([{ file: error.path ?? "", problem: error.description.replace(`${error.path} `, "") }])
    : Effect.fail(error)

export const verify = (
  backup: StoredBackup,
  onProgress: Progress.OnProgress
): Effect.Effect<ReadonlyArray<Finding>, BackupError> =>
  Effect.gen(function* () {
    const { manifest } = backup
    const findings = [...(yield* checkFiles(backup))]
    const intact = (file: BackupFile) => !findings.some((finding) => finding.file === file.name)
    const archives = manifest.files.filter(isArchive)
    const readable = archives.filter(intact)
    const meter = yield* Progress.start(
      onProgress,
      "verify",
      readable.reduce((total, { tarBytes }) => total + tarBytes, 0)
    )
    const companions = manifest.files.filter((file) => file.kind === "companion")
    const postgres = companions.every(intact) ? yield* Effect.either(postgresManifest(backup)) : undefined
    if (postgres !== undefined && Either.isLeft(postgres)) findings.push(...(yield* asFinding(postgres.left)))
    const contents =
      postgres !== undefined && Either.isRight(postgres)
        ? postgres.right
        : { files: [], walRanges: [], systemIdentifier: undefined }
    const check = new ContentCheck(contents, {
      segmentBytes: manifest.server.walSegmentBytes,
      systemIdentifier: manifest.server.systemIdentifier
    })
    let complete = contents.files.length > 0 && readable.length === archives.length
    for (const archive of readable) {
      const found = yield* checkArchive(backup, archive, archives, check, meter)
      findings.push(...found)
      complete = complete && found.length === 0
    }
    // Without PostgreSQL's manifest, or with an archive missing, every file of the cluster would be a finding.
    if (complete) {
      check.finish()
      findings.push(...check.findings)
    }
    yield* meter.done
    return findings
  })
