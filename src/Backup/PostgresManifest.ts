/**
 * PostgreSQL's own `backup_manifest`: every file of the cluster with its SHA-256, and the WAL that it needs.
 *
 * @see https://www.postgresql.org/docs/current/backup-manifest-format.html
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Schema from "effect/Schema"
import * as Sha256 from "../internal/node/Sha256.ts"
import { BackupError } from "./BackupError.ts"

/** Under this name it is stored, and found by pg_verifybackup and pg_combinebackup. */
export const fileName = "backup_manifest"

export interface ManifestFile {
  readonly path: string
  readonly bytes: number
  readonly sha256: string
}

export interface WalRange {
  readonly timeline: number
  readonly start: string
  readonly end: string
}

export interface PostgresManifest {
  readonly files: ReadonlyArray<ManifestFile>
  readonly walRanges: ReadonlyArray<WalRange>
  /** Since PostgreSQL 17. */
  readonly systemIdentifier: string | undefined
}

const Contents = Schema.parseJson(
  Schema.Struct({
    "PostgreSQL-Backup-Manifest-Version": Schema.Int.pipe(Schema.between(1, 2)),
    Files: Schema.Array(
      Schema.Struct({
        Path: Schema.optional(Schema.String),
        /** Hexadecimal, for a name that is not valid UTF-8. */
        "Encoded-Path": Schema.optional(Schema.String),
        Size: Schema.NonNegativeInt,
        "Checksum-Algorithm": Schema.Literal("SHA256"),
        Checksum: Schema.String
      })
    ),
    "WAL-Ranges": Schema.Array(
      Schema.Struct({ Timeline: Schema.Int, "Start-LSN": Schema.String, "End-LSN": Schema.String })
    ),
    "Manifest-Checksum": Schema.String
  })
)

const lastLine = /^"Manifest-Checksum": "([0-9a-f]{64})"\}\s*$/

/** A number in JSON of 64 bits, which JavaScript would round. */
const systemIdentifier = /^"System-Identifier": (\d+),$/m

/** As readers of the archives would see the name. Those refuse one that is not UTF-8, so it never matches a file. */
const decodeName = (hex: string): string =>
  Either.match(Encoding.decodeHex(hex), {
    onLeft: () => hex,
    onRight: (bytes) => new TextDecoder().decode(bytes)
  })

const damaged = (description: string, cause?: unknown): BackupError =>
  new BackupError({
    reason: "Damaged",
    path: fileName,
    description: `PostgreSQL's ${fileName} ${description}`,
    advice: "Do not restore from it: take another backup.",
    cause
  })

/** Reads a manifest and holds it against its own checksum. */
export const parse = (text: string): Effect.Effect<PostgresManifest, BackupError> =>
  Effect.gen(function* () {
    // The checksum covers everything up to the line that it stands on.
    const cut = text.lastIndexOf('\n"Manifest-Checksum"') + 1
    const checksum = lastLine.exec(text.slice(cut))?.[1]
    if (checksum === undefined) return yield* damaged("is cut off")
    if (Sha256.hex(text.slice(0, cut)) !== checksum) return yield* damaged("does not match its own checksum")
    const contents = yield* Schema.decode(Contents)(text).pipe(
      Effect.mapError((error) => damaged("has unexpected contents", error))
    )
    return {
      files: contents.Files.map((file) => ({
        path: file.Path ?? decodeName(file["Encoded-Path"] ?? ""),
        bytes: file.Size,
        sha256: file.Checksum
      })),
      walRanges: contents["WAL-Ranges"].map((range) => ({
        timeline: range.Timeline,
        start: range["Start-LSN"],
        end: range["End-LSN"]
      })),
      systemIdentifier: systemIdentifier.exec(text)?.[1]
    }
  })
