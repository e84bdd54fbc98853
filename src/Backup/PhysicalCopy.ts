/**
 * Runs BASE_BACKUP and writes what it sends: one tar per directory, compressed in blocks side by side, and the manifest.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { DatabaseError } from "../DatabaseError.ts"
import * as Gzip from "../internal/node/Gzip.ts"
import type { BaseBackupEvent, ReplicationStalled, Tablespace, WalPosition } from "../internal/pg/Replication.ts"
import * as ArchiveWriter from "./ArchiveWriter.ts"
import type { Copied } from "./BackupEngine.ts"
import { BackupError } from "./BackupError.ts"
import type { BackupManifest } from "./BackupManifest.ts"
import type { Draft } from "./BackupStorage.ts"
import type { PhysicalSession } from "./PhysicalSession.ts"
import * as PostgresManifest from "./PostgresManifest.ts"
import * as Progress from "./Progress.ts"

export type Compression = BackupManifest["compression"]

/** Blocks compressed at the same time. More would help only where the disk takes over 1 GB/s of input. */
const compressors = 2

/** `'` doubled: the replication grammar quotes as SQL does. */
const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`

/**
 * WAIT false: the WAL travels in the backup, so its end must not wait for an archiver that may be broken.
 */
const command = (label: string): string =>
  `BASE_BACKUP (LABEL ${quote(`plinth ${label}`)}, PROGRESS true, CHECKPOINT 'fast', WAL true, WAIT false, ` +
  `MANIFEST 'yes', MANIFEST_CHECKSUMS 'SHA256')`

interface Packed {
  readonly bytes: Uint8Array
  readonly sourceBytes: number
  /** To be called when the bytes are written. */
  readonly release: () => void
}

type Step = Exclude<BaseBackupEvent, { readonly _tag: "Data" }> | ({ readonly _tag: "Packed" } & Packed)

export const copy = (
  session: PhysicalSession,
  options: {
    readonly draft: Draft
    readonly compression: Compression
    readonly onProgress: Progress.OnProgress
    readonly onServerError: (error: DatabaseError | ReplicationStalled) => BackupError
  }
): Effect.Effect<Copied, BackupError> =>
  Effect.gen(function* () {
    const { compression, draft, onProgress } = options
    const writer = yield* ArchiveWriter.make(draft)
    const waiting = yield* Progress.start(onProgress, "checkpoint", 0)
    let meter = waiting
    let started: (WalPosition & { readonly at: DateTime.Utc }) | undefined
    let stopped: (WalPosition & { readonly at: DateTime.Utc }) | undefined
    let tablespaces: ReadonlyArray<Tablespace> = []

    const handle = (step: Step): Effect.Effect<void, BackupError> => {
      switch (step._tag) {
        case "Started":
          return Effect.gen(function* () {
            started = { ...step.position, at: yield* DateTime.now }
            tablespaces = step.tablespaces
            yield* waiting.done
            meter = yield* Progress.start(
              onProgress,
              "copy",
              tablespaces.reduce((total, { bytes }) => total + bytes, 0)
            )
          })
        case "Archive":
          return archiveOf(step, compression, writer)
        case "Manifest":
          return writer.next(PostgresManifest.fileName, ({ bytes, sha256 }) => ({
            kind: "companion",
            name: PostgresManifest.fileName,
            bytes,
            sha256
          }))
        case "Packed":
          return writer
            .write(step.bytes, step.sourceBytes)
            .pipe(Effect.zipRight(Effect.sync(step.release)), Effect.zipRight(meter.advance(step.sourceBytes)))
        case "Stopped":
          return Effect.map(DateTime.now, (at) => {
            stopped = { ...step.position, at }
          })
      }
    }

    yield* session.replication.baseBackup(command(draft.label)).pipe(
      Stream.mapError(options.onServerError),
      Stream.mapAccum(false, (inManifest, event) => {
        const now = event._tag === "Manifest" || (inManifest && event._tag === "Data")
        return [now, { event, compress: event._tag === "Data" && !now }]
      }),
      Stream.mapEffect(({ compress, event }) => pack(event, compress ? compression : { algorithm: "none" }), {
        concurrency: compressors
      }),
      Stream.runForEach(handle)
    )
    const files = yield* writer.finish
    yield* meter.done
    if (started === undefined || stopped === undefined || !files.some((file) => file.kind === "companion")) {
      return yield* new BackupError({
        reason: "ServerFailed",
        node: session.server.node,
        description: "the server ended the backup without saying where it starts and stops, or without its manifest",
        advice: "Connect to the server itself and not through a pooler or proxy, and run it again."
      })
    }
    const warnings = [...session.warnings, ...(yield* session.replication.warnings)]
    return { start: started, stop: stopped, compression, files, warnings, recovery: recovery(files, session.server) }
  }).pipe(Effect.scoped)

const pack = (event: BaseBackupEvent, compression: Compression): Effect.Effect<Step, BackupError> => {
  if (event._tag !== "Data") return Effect.succeed(event)
  const { bytes, release } = event
  const sourceBytes = bytes.length
  if (compression.algorithm === "none") return Effect.succeed({ _tag: "Packed", bytes, sourceBytes, release })
  return Gzip.compress(bytes, compression.level).pipe(
    Effect.map((compressed): Step => {
      release()
      return { _tag: "Packed", bytes: compressed, sourceBytes, release: () => {} }
    }),
    // Deflate accepts every input: this is a lack of memory or a bug.
    Effect.orDie
  )
}

/** `base.tar`, or a number: the names that PostgreSQL gives, and never a path. */
const archiveName = /^(?:base|(\d+))\.tar$/

const archiveOf = (
  event: { readonly name: string; readonly location: string },
  compression: Compression,
  writer: ArchiveWriter.ArchiveWriter
): Effect.Effect<void, BackupError> => {
  const match = archiveName.exec(event.name)
  if (match === null) {
    return new BackupError({
      reason: "ServerFailed",
      description: `the server sent an archive named ${JSON.stringify(event.name)}`,
      advice: "This is not a PostgreSQL that Plinth knows: please report it."
    })
  }
  if (event.location.startsWith("pg_tblspc/")) {
    return new BackupError({
      reason: "UnsupportedServer",
      description: `tablespace ${match[1]} was made with allow_in_place_tablespaces and has no location of its own`,
      advice: "Move what is in it to a tablespace with a LOCATION: PostgreSQL offers this kind for its own tests."
    })
  }
  const name = compression.algorithm === "gzip" ? `${event.name}.gz` : event.name
  const tablespace = match[1] === undefined ? {} : { tablespace: { oid: Number(match[1]), location: event.location } }
  return writer.next(name, ({ bytes, sha256, sourceBytes }) => ({
    kind: "archive",
    name,
    bytes,
    sha256,
    tarBytes: sourceBytes,
    ...tablespace
  }))
}

/** The commands that a person needs who has this directory, PostgreSQL and tar. */
const recovery = (files: Copied["files"], server: BackupManifest["server"]): ReadonlyArray<string> => {
  const shell = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`
  const extract = (name: string) => (name.endsWith(".gz") ? `tar -xzf ${name}` : `tar -xf ${name}`)
  return [
    "mkdir -m 700 DATA",
    ...files.flatMap((file) => {
      if (file.kind === "companion") return [`cp ${file.name} DATA/`]
      if (file.tablespace === undefined) return [`${extract(file.name)} -C DATA`]
      const location = shell(file.tablespace.location)
      return [`mkdir -p -m 700 ${location}`, `${extract(file.name)} -C ${location}`]
    }),
    "pg_verifybackup DATA",
    ...(server.inRecovery ? ["rm -f DATA/standby.signal"] : []),
    "pg_ctl -D DATA start"
  ]
}
