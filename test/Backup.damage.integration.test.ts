import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, layer } from "@effect/vitest"
import type { Backup } from "effect-plinth"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import { appendFileSync, cpSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { forge, offsetInTar, rows, service, tarHeader, temporary } from "./support/backups.ts"

/** Two sound backups of one cluster with a tablespace, which the tests copy before they spoil them. */
class Original extends Context.Tag("test/Original")<
  Original,
  {
    readonly url: Redacted.Redacted
    readonly store: string
    readonly first: Backup.BackupManifest
    readonly second: Backup.BackupManifest
  }
>() {}

const original = Layer.scoped(
  Original,
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const { dataDirectory, url } = yield* EmbeddedPostgres.make()
    const directory = yield* temporary
    const { gid, uid } = yield* fs.stat(dataDirectory)
    const location = join(directory, "fast")
    yield* fs.makeDirectory(location, { mode: 0o700 })
    yield* fs.chown(location, Option.getOrThrow(uid), Option.getOrThrow(gid))
    yield* rows(url, `CREATE TABLESPACE fast LOCATION '${location}'`)
    yield* rows(url, "CREATE TABLE item TABLESPACE fast AS SELECT n AS id FROM generate_series(1, 5000) n")
    const store = join(directory, "store")
    const backup = yield* service(store, { url })
    return { url, store, first: yield* backup.create(), second: yield* backup.create() }
  })
).pipe(Layer.provideMerge(NodeContext.layer))

/** The file names of a spoilt copy. */
interface Spoilt {
  readonly store: string
  readonly first: Backup.BackupManifest
  readonly second: Backup.BackupManifest
  readonly file: (name: string) => string
}

/** Spoils a copy of both backups; returns a service over it. */
const spoil = (change: (copy: Spoilt) => void) =>
  Effect.gen(function* () {
    const { first, second, store, url } = yield* Original
    const path = yield* Path.Path
    const directory = yield* temporary
    const copy = path.join(directory, "store")
    cpSync(store, copy, { recursive: true })
    change({ store: copy, first, second, file: (name) => join(copy, first.label, name) })
    return { backup: yield* service(copy, { url }), label: first.label, target: path.join(directory, "data") }
  })

const flip = (file: string, position: number): void => {
  const bytes = readFileSync(file)
  const at = position < 0 ? bytes.length + position : position
  bytes[at] = (bytes[at] ?? 0) ^ 0x01
  writeFileSync(file, bytes)
}

const tablespaceFile = (manifest: Backup.BackupManifest): string =>
  manifest.files.find((file) => file.kind === "archive" && file.tablespace !== undefined)?.name ?? ""

/** What was done to a backup, the file that verify must name, and what it must say of it. */
const damages: ReadonlyArray<
  readonly [what: string, change: (copy: Spoilt) => void, file: string | RegExp, problem: RegExp]
> = [
  ["a truncated archive", ({ file }) => truncateSync(file("base.tar.gz"), 100_000), "base.tar.gz", /has 100000 bytes/],
  ["an emptied archive", ({ file }) => truncateSync(file("base.tar.gz"), 0), "base.tar.gz", /has 0 bytes/],
  ["a byte appended to an archive", ({ file }) => appendFileSync(file("base.tar.gz"), "x"), "base.tar.gz", /bytes/],
  ["the first byte flipped", ({ file }) => flip(file("base.tar.gz"), 0), "base.tar.gz", /other bytes/],
  ["a byte flipped inside", ({ file }) => flip(file("base.tar.gz"), 1_234_567), "base.tar.gz", /other bytes/],
  ["the last byte flipped", ({ file }) => flip(file("base.tar.gz"), -1), "base.tar.gz", /other bytes/],
  [
    "a byte flipped in PostgreSQL's manifest",
    ({ file }) => flip(file("backup_manifest"), 5000),
    "backup_manifest",
    /other bytes/
  ],
  [
    "PostgreSQL's manifest truncated",
    ({ file }) => truncateSync(file("backup_manifest"), 999),
    "backup_manifest",
    /has 999 bytes/
  ],
  ["a byte flipped in manifest.json", ({ file }) => flip(file("manifest.json"), 400), "manifest.json", /checksum/],
  ["manifest.json truncated", ({ file }) => truncateSync(file("manifest.json"), 400), "manifest.json", /cut off/],
  ["manifest.json missing", ({ file }) => rmSync(file("manifest.json")), "manifest.json", /missing/],
  ["an archive missing", ({ file }) => rmSync(file("base.tar.gz")), "base.tar.gz", /is missing/],
  ["PostgreSQL's manifest missing", ({ file }) => rmSync(file("backup_manifest")), "backup_manifest", /is missing/],
  [
    "a file that does not belong there",
    ({ file }) => writeFileSync(file("notes.txt"), "x"),
    "notes.txt",
    /does not belong/
  ],
  [
    "two archives swapped",
    ({ file, first }) => {
      renameSync(file("base.tar.gz"), file("x"))
      renameSync(file(tablespaceFile(first)), file("base.tar.gz"))
      renameSync(file("x"), file(tablespaceFile(first)))
    },
    "base.tar.gz",
    /bytes/
  ],
  [
    "the manifest.json of another backup",
    ({ file, second, store }) => cpSync(join(store, second.label, "manifest.json"), file("manifest.json")),
    "manifest.json",
    /belongs to another backup/
  ],
  [
    "the PostgreSQL manifest of another backup",
    ({ file, second, store }) => cpSync(join(store, second.label, "backup_manifest"), file("backup_manifest")),
    "backup_manifest",
    /bytes/
  ],
  [
    "the archive of another backup",
    ({ file, second, store }) => cpSync(join(store, second.label, "base.tar.gz"), file("base.tar.gz")),
    "base.tar.gz",
    /bytes/
  ],
  [
    "one byte of a table changed, and everything sealed again",
    ({ first, store }) =>
      forge(store, first, "base.tar.gz", (tar) => {
        const at = offsetInTar(tar, "global/pg_control") + 100
        tar[at] = (tar[at] ?? 0) ^ 1
        return tar
      }),
    "base.tar.gz: global/pg_control",
    /SHA-256 that PostgreSQL computed/
  ],
  [
    "a file of a tablespace changed, and everything sealed again",
    ({ first, store }) =>
      forge(store, first, tablespaceFile(first), (tar) => {
        const at = tar.findIndex((byte, index) => index > 4096 && byte !== 0 && Math.floor(index / 512) > 10)
        tar[at] = (tar[at] ?? 0) ^ 1
        return tar
      }),
    /^\d+\.tar\.gz/,
    /./
  ],
  [
    "a file left out of the archive, and everything sealed again",
    ({ first, store }) =>
      forge(store, first, "base.tar.gz", (tar) => {
        const at = offsetInTar(tar, "PG_VERSION") - 512
        return Buffer.concat([tar.subarray(0, at), tar.subarray(at + 1024)])
      }),
    "PG_VERSION",
    /in no archive/
  ],
  [
    "a file put into the archive, and everything sealed again",
    ({ first, store }) =>
      forge(store, first, "base.tar.gz", (tar) => Buffer.concat([tarHeader({ name: "base/evil" }), tar])),
    "base.tar.gz: base/evil",
    /is not in PostgreSQL's manifest/
  ],
  [
    "the WAL left out, and everything sealed again",
    ({ first, store }) =>
      forge(store, first, "base.tar.gz", (tar) => {
        const segment = `pg_wal/${walSegmentOf(tar)}`
        const at = offsetInTar(tar, segment) - 512
        return Buffer.concat([tar.subarray(0, at), tar.subarray(at + 512 + 16 * 1024 * 1024)])
      }),
    /^pg_wal\/[0-9A-F]{24}$/,
    /is missing, and recovery needs/
  ],
  [
    "the WAL of another place in the log, and everything sealed again",
    ({ first, store }) =>
      forge(store, first, "base.tar.gz", (tar) => {
        const at = offsetInTar(tar, `pg_wal/${walSegmentOf(tar)}`)
        tar.writeBigUInt64LE(tar.readBigUInt64LE(at + 8) + 0x1_0000_0000n, at + 8)
        return tar
      }),
    /^base\.tar\.gz: pg_wal\/[0-9A-F]{24}$/,
    /holds the WAL from/
  ],
  [
    "an archive that is not tar, and everything sealed again",
    ({ first, store }) => forge(store, first, "base.tar.gz", (tar) => Buffer.alloc(tar.length, "plinth")),
    "base.tar.gz",
    /is not a tar/
  ]
]

const walSegmentOf = (tar: Buffer): string => {
  const found = /pg_wal\/([0-9A-F]{24})\0/.exec(tar.subarray(-20 * 1024 * 1024).toString("latin1"))
  return found?.[1] ?? "none"
}

layer(original, { excludeTestServices: true })("a damaged backup", (it) => {
  it.effect("is not what the tests start from: both are sound", () =>
    Effect.gen(function* () {
      const { first, second, store, url } = yield* Original
      const backup = yield* service(store, { url })
      for (const { label } of [first, second]) assert.deepStrictEqual((yield* backup.verify(label)).findings, [])
    }).pipe(Effect.scoped)
  )

  for (const [what, change, file, problem] of damages) {
    it.scoped(`is found, named and never restored: ${what}`, () =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const path = yield* Path.Path
        const { backup, label, target } = yield* spoil(change)
        const verification = yield* backup.verify(label)
        assert.isFalse(verification.ok)
        const named = verification.findings.find((finding) =>
          typeof file === "string" ? finding.file === file : file.test(finding.file)
        )
        assert.match(named?.problem ?? JSON.stringify(verification.findings.slice(0, 3)), problem)
        // A file more does no harm to what is restored, and is left alone.
        if (what === "a file that does not belong there") return
        const error = yield* Effect.flip(backup.restore(label, { directory: target }))
        assert.include(["Damaged", "StorageFailed"], error.reason)
        assert.deepStrictEqual(yield* fs.readDirectory(path.dirname(target)), ["store"])
      })
    )
  }

  it.scoped("with its manifest gone is not listed, and the other one is", () =>
    Effect.gen(function* () {
      const { second } = yield* Original
      const { backup, label } = yield* spoil(({ file }) => rmSync(file("manifest.json")))
      const { backups, unreadable } = yield* backup.list
      assert.deepStrictEqual(backups, [second])
      assert.deepStrictEqual(
        unreadable.map((entry) => entry.label),
        [label]
      )
      assert.strictEqual((yield* backup.show("latest")).label, second.label)
    })
  )

  it.scoped("cannot write outside of the directory it is restored into", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const hostile: ReadonlyArray<Parameters<typeof tarHeader>[0]> = [
        { name: "../evil" },
        { name: "base/../../evil" },
        { name: "/tmp/plinth-evil" },
        { name: "pg_wal", type: "2", link: "/tmp" },
        { name: "pg_tblspc/99999", type: "2", link: "/tmp" },
        { name: "pg_tblspc/1/../../../evil", type: "2", link: "/tmp" },
        { name: "evil", type: "1", link: "/etc/passwd" },
        { name: "evil", type: "3" }
      ]
      for (const header of hostile) {
        const { backup, label, target } = yield* spoil(({ first, store }) =>
          forge(store, first, "base.tar.gz", (tar) => Buffer.concat([tarHeader(header), tar]))
        )
        const error = yield* Effect.flip(backup.restore(label, { directory: target }))
        assert.strictEqual(error.reason, "Damaged", header.name)
        assert.deepStrictEqual(yield* fs.readDirectory(path.dirname(target)), ["store"], header.name)
        assert.isFalse((yield* backup.verify(label)).ok, header.name)
      }
      assert.isFalse(yield* fs.exists("/tmp/plinth-evil"))
    })
  )
})
