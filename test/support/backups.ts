/**
 * What the tests of backups share: a service over a directory, a directory that goes away, and ways to forge a backup.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Backup, DatabaseConfig } from "effect-plinth"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gunzipSync, gzipSync } from "node:zlib"
import * as BackupManifest from "../../src/Backup/BackupManifest.ts"
import * as Sha256 from "../../src/internal/node/Sha256.ts"

/** A directory that every account may enter, removed with the scope. */
export const temporary = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const directory = yield* fs.makeTempDirectoryScoped({ prefix: "plinth-backup-" })
  yield* fs.chmod(directory, 0o755)
  return directory
})

export type Options = Partial<Omit<Backup.Options, "source" | "directory">> & { readonly url: Redacted.Redacted }

/** The service for a server's URL and a directory. */
export const service = (directory: string, { url, ...options }: Options) =>
  Effect.gen(function* () {
    const source = yield* DatabaseConfig.parseUrl(url, { connectTimeout: "5 seconds" })
    const context = yield* Layer.build(Backup.layer({ ...options, source, directory }))
    return yield* Effect.provide(Backup.Backup, context)
  })

/** What a statement answers on this server. */
export const rows = (url: Redacted.Redacted, statement: string) =>
  Effect.flatMap(PgClient.PgClient, (sql) => sql.unsafe<Record<string, unknown>>(statement)).pipe(
    Effect.provide(PgClient.layer({ url, maxConnections: 1, connectTimeout: "5 seconds" }))
  )

/** Changes the tar of a backup and seals everything again, as a bug or a person with the right to write could. */
export const forge = (
  directory: string,
  manifest: Backup.BackupManifest,
  name: string,
  change: (tar: Buffer) => Buffer
): void => {
  const path = join(directory, manifest.label, name)
  const stored = readFileSync(path)
  const tar = change(name.endsWith(".gz") ? gunzipSync(stored) : stored)
  const bytes = name.endsWith(".gz") ? gzipSync(tar, { level: 1 }) : tar
  writeFileSync(path, bytes)
  const files = manifest.files.map((file) =>
    file.name === name ? { ...file, bytes: bytes.length, sha256: Sha256.hex(bytes) } : file
  )
  writeFileSync(join(directory, manifest.label, BackupManifest.fileName), BackupManifest.encode({ ...manifest, files }))
}

/** A ustar header with a right checksum. */
export const tarHeader = (fields: {
  readonly name?: string
  readonly type?: string
  readonly bytes?: number
  readonly link?: string
}): Buffer => {
  const block = Buffer.alloc(512)
  block.write(fields.name ?? "file", 0)
  block.write("0000600\0", 100)
  block.write(`${(fields.bytes ?? 0).toString(8).padStart(11, "0")}\0`, 124)
  block.write(fields.type ?? "0", 156)
  block.write(fields.link ?? "", 157)
  block.write("ustar\u000000", 257)
  return sealHeader(block)
}

/** Computes the checksum of a header that was changed. */
export const sealHeader = (block: Buffer): Buffer => {
  block.fill(0x20, 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
  return block
}

/** Where the content of a file in a tar begins; the header is the 512 bytes before. */
export const offsetInTar = (tar: Buffer, name: string): number => {
  for (let at = 0; at < tar.length; at += 512) {
    const header = tar.subarray(at, at + 512)
    const found = header.toString("utf8", 0, 100).replace(/\0.*$/s, "")
    const bytes = Number.parseInt(header.toString("latin1", 124, 135), 8) || 0
    if (found === name) return at + 512
    at += Math.ceil(bytes / 512) * 512
  }
  throw new Error(`${name} is not in the tar`)
}
