/**
 * `manifest.json`: what a backup is, written last; a directory without a complete one is not a backup.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Sha256 from "../internal/node/Sha256.ts"
import { BackupError } from "./BackupError.ts"

/**
 * Raised when a reader of the previous version could misread the directory.
 *
 * @since 0.1.0
 * @category constants
 */
export const formatVersion = 1

/**
 * @since 0.1.0
 * @category constants
 */
export const fileName = "manifest.json"

const Lsn = Schema.String.pipe(Schema.pattern(/^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/))

const Bytes = Schema.NonNegativeInt

/** The name of a file inside the backup's directory: never a path. */
const FileName = Schema.String.pipe(Schema.pattern(/^[A-Za-z0-9][A-Za-z0-9._-]*$/))

/**
 * A tar file of one directory of the cluster.
 *
 * @since 0.1.0
 * @category models
 */
export const Archive = Schema.Struct({
  kind: Schema.Literal("archive"),
  name: FileName,
  bytes: Bytes,
  sha256: Schema.String,
  /** The size of the tar before compression. */
  tarBytes: Bytes,
  /** Absent for the data directory itself. */
  tablespace: Schema.optional(Schema.Struct({ oid: Schema.Int, location: Schema.String }))
})

/**
 * A file that belongs to the engine, such as PostgreSQL's `backup_manifest`.
 *
 * @since 0.1.0
 * @category models
 */
const Companion = Schema.Struct({
  kind: Schema.Literal("companion"),
  name: FileName,
  bytes: Bytes,
  sha256: Schema.String
})

/**
 * @since 0.1.0
 * @category models
 */
export const BackupFile = Schema.Union(Archive, Companion)

const WalPosition = Schema.Struct({ lsn: Lsn, timeline: Schema.Int, at: Schema.DateTimeUtc })

/**
 * @since 0.1.0
 * @category models
 */
export const BackupManifest = Schema.Struct({
  formatVersion: Schema.Literal(formatVersion),
  plinthVersion: Schema.String,
  label: Schema.String,
  status: Schema.Literal("complete"),
  engine: Schema.Literal("physical"),
  server: Schema.Struct({
    version: Schema.String,
    versionNumber: Schema.Int,
    systemIdentifier: Schema.String,
    node: Schema.String,
    inRecovery: Schema.Boolean,
    walSegmentBytes: Schema.Int
  }),
  start: WalPosition,
  stop: WalPosition,
  compression: Schema.Union(
    Schema.Struct({ algorithm: Schema.Literal("none") }),
    Schema.Struct({ algorithm: Schema.Literal("gzip"), level: Schema.Int })
  ),
  files: Schema.Array(BackupFile),
  warnings: Schema.Array(Schema.String),
  /** How to restore with standard tools and without Plinth. */
  recovery: Schema.Array(Schema.String)
})

/**
 * @since 0.1.0
 * @category models
 */
export type BackupManifest = typeof BackupManifest.Type

/**
 * @since 0.1.0
 * @category models
 */
export type Archive = typeof Archive.Type

/**
 * @since 0.1.0
 * @category models
 */
export type BackupFile = typeof BackupFile.Type

/** The last line is a seal over every byte before it, as in PostgreSQL's own manifest. */
const seal = /,\n {2}"manifestSha256": "([0-9a-f]{64})"\n\}\n$/

/** As it is stored. */
export const encode = (manifest: BackupManifest): string => {
  const body = JSON.stringify(Schema.encodeSync(BackupManifest)(manifest), null, 2).slice(0, -"\n}".length)
  return `${body},\n  "manifestSha256": "${Sha256.hex(body)}"\n}\n`
}

const Version = Schema.parseJson(Schema.Struct({ formatVersion: Schema.Number }))
const Stored = Schema.parseJson(BackupManifest)

const damaged = (label: string, description: string, cause?: unknown): BackupError =>
  new BackupError({
    reason: "Damaged",
    label,
    path: fileName,
    description: `${fileName} ${description}`,
    advice: "Do not restore from it: take another backup, and find out what writes to this storage.",
    cause
  })

/** Reads what `encode` wrote, for the backup of this label, and nothing else. */
export const decode = (label: string, text: string): Effect.Effect<BackupManifest, BackupError> =>
  Effect.gen(function* () {
    const version = Schema.decodeEither(Version)(text)
    if (Either.isRight(version) && version.right.formatVersion > formatVersion) {
      return yield* new BackupError({
        reason: "UnsupportedFormat",
        label,
        description: `it has format ${version.right.formatVersion}, and this Plinth reads up to ${formatVersion}`,
        advice: "Use the newer Plinth that wrote it."
      })
    }
    const sealed = seal.exec(text)
    if (sealed === null) return yield* damaged(label, "is cut off or not a manifest")
    if (Sha256.hex(text.slice(0, sealed.index)) !== sealed[1]) {
      return yield* damaged(label, "does not match its own checksum")
    }
    const manifest = yield* Schema.decode(Stored)(text).pipe(
      Effect.mapError((error) => damaged(label, "has unexpected contents", error))
    )
    if (manifest.label !== label) return yield* damaged(label, `belongs to another backup, ${manifest.label}`)
    return manifest
  })
