/**
 * Reads an archive of a backup: its bytes hashed as stored, decompressed, and taken apart into the files of the cluster.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Gzip from "../internal/node/Gzip.ts"
import * as Sha256 from "../internal/node/Sha256.ts"
import type { StoredBackup } from "./BackupEngine.ts"
import { BackupError } from "./BackupError.ts"
import type { Archive, BackupFile } from "./BackupManifest.ts"
import { TarError, TarReader } from "./TarReader.ts"
import type { TarEvent } from "./TarReader.ts"

/** What the bytes of an archive can be wrong with, beside not being the ones that were written. */
export type ContentError = TarError | Gzip.GzipError

/** A file of the backup as bytes. Ends with `Damaged` unless they are exactly those that the manifest describes. */
export const bytes = (backup: StoredBackup, file: BackupFile): Stream.Stream<Uint8Array, BackupError> =>
  Stream.suspend(() => {
    const hash = Sha256.make()
    let read = 0
    const check = Effect.suspend(() => {
      if (read !== file.bytes) return damaged(backup, file, `has ${read} bytes, and ${file.bytes} were written`)
      return hash.digest() === file.sha256 ? Effect.void : damaged(backup, file, "has other bytes than were written")
    })
    return backup.storage.read(backup.manifest.label, file.name).pipe(
      Stream.tap((chunk) =>
        Effect.sync(() => {
          hash.update(chunk)
          read += chunk.length
        })
      ),
      Stream.concat(Stream.drain(Stream.fromEffect(check)))
    )
  })

const damaged = (backup: StoredBackup, file: BackupFile, problem: string): BackupError =>
  new BackupError({
    reason: "Damaged",
    label: backup.manifest.label,
    path: file.name,
    description: `${file.name} ${problem}`,
    advice: "Do not restore from it: choose another backup, and find out what writes to this storage."
  })

/** A small file as text. */
export const text = (backup: StoredBackup, file: BackupFile): Effect.Effect<string, BackupError> =>
  Stream.mkString(Stream.decodeText(bytes(backup, file)))

/** The files within an archive, in chunks of events. */
export const entries = (
  backup: StoredBackup,
  archive: Archive
): Stream.Stream<ReadonlyArray<TarEvent>, BackupError | ContentError> =>
  Stream.suspend(() => {
    const reader = new TarReader()
    const stored = bytes(backup, archive)
    const tar: Stream.Stream<Uint8Array, BackupError | Gzip.GzipError> =
      backup.manifest.compression.algorithm === "gzip" ? Gzip.decompress(stored) : stored
    const push = (chunk: Uint8Array) => Effect.try({ try: () => reader.push(chunk), catch: asTarError })
    const end = Effect.try({ try: () => reader.end(), catch: asTarError })
    return Stream.concat(Stream.mapEffect(tar, push), Stream.drain(Stream.fromEffect(end)))
  })

const asTarError = (error: unknown): TarError =>
  error instanceof TarError ? error : new TarError({ description: String(error) })
