import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as BackupManifest from "../../src/Backup/BackupManifest.ts"
import * as PostgresManifest from "../../src/Backup/PostgresManifest.ts"
import { newestFirst } from "../../src/Backup/Catalog.ts"
import * as Sha256 from "../../src/internal/node/Sha256.ts"

const label = "20251122T173412Z-0f3a9c"

const example = (overrides: Partial<BackupManifest.BackupManifest> = {}): BackupManifest.BackupManifest => ({
  formatVersion: 1,
  plinthVersion: "0.1.0",
  label,
  status: "complete",
  engine: "physical",
  server: {
    version: "18.4",
    versionNumber: 180004,
    systemIdentifier: "7711047497523091482",
    node: "127.0.0.1:5432/app",
    inRecovery: false,
    walSegmentBytes: 16_777_216
  },
  start: { lsn: "0/2000028", timeline: 1, at: DateTime.unsafeMake("2025-11-22T17:34:12.000Z") },
  stop: { lsn: "0/2000120", timeline: 1, at: DateTime.unsafeMake("2025-11-22T17:34:20.000Z") },
  compression: { algorithm: "gzip", level: 1 },
  files: [
    { kind: "archive", name: "base.tar.gz", bytes: 12, sha256: "ab", tarBytes: 1024 },
    {
      kind: "archive",
      name: "16384.tar.gz",
      bytes: 13,
      sha256: "cd",
      tarBytes: 2048,
      tablespace: { oid: 16384, location: "/srv/fast 'ssd'" }
    },
    { kind: "companion", name: "backup_manifest", bytes: 14, sha256: "ef" }
  ],
  warnings: ["größer als sonst"],
  recovery: ["mkdir -m 700 DATA"],
  ...overrides
})

const decode = (text: string) => Effect.runSync(Effect.either(BackupManifest.decode(label, text)))

const reasonOf = (text: string): string =>
  Either.match(decode(text), { onLeft: (error) => error.reason, onRight: () => "read" })

describe("manifest.json", () => {
  it("reads back what was written", () => {
    assert.deepStrictEqual(Either.getOrThrow(decode(BackupManifest.encode(example()))), example())
  })

  it("is readable JSON with the seal as its last member", () => {
    const parsed: unknown = JSON.parse(BackupManifest.encode(example()))
    assert.strictEqual(Object.keys(Object(parsed)).at(-1), "manifestSha256")
  })

  it.prop(
    "is refused with any byte changed, or cut anywhere, or with a byte appended",
    [FastCheck.integer({ min: 0, max: 100_000 }), FastCheck.integer({ min: 1, max: 255 })],
    ([position, change]) => {
      const bytes = Buffer.from(BackupManifest.encode(example()))
      const at = position % bytes.length
      const flipped = Buffer.from(bytes)
      flipped[at] = (flipped[at] ?? 0) ^ change
      assert.notStrictEqual(reasonOf(flipped.toString("utf8")), "read")
      assert.notStrictEqual(reasonOf(bytes.toString("utf8", 0, at)), "read")
      assert.notStrictEqual(reasonOf(bytes.toString("utf8") + String.fromCharCode(change)), "read")
    },
    { fastCheck: { numRuns: 500 } }
  )

  it("is refused in the directory of another backup", () => {
    const other = example({ label: "20251122T173412Z-000000" })
    assert.strictEqual(reasonOf(BackupManifest.encode(other)), "Damaged")
  })

  it("is refused when a newer Plinth wrote it, and says so", () => {
    const error = Either.flip(
      decode(BackupManifest.encode(example()).replace('"formatVersion": 1', '"formatVersion": 2'))
    )
    assert.strictEqual(Either.getOrThrow(error).reason, "UnsupportedFormat")
    assert.include(Either.getOrThrow(error).message, "newer Plinth")
  })

  it("is refused when a file of it would be a path", () => {
    for (const name of ["../base.tar", "a/b", "/etc/passwd", ".hidden", ""]) {
      const body = BackupManifest.encode(example()).replace("base.tar.gz", name)
      const cut = body.indexOf(',\n  "manifestSha256"')
      const sealed = `${body.slice(0, cut)},\n  "manifestSha256": "${Sha256.hex(body.slice(0, cut))}"\n}\n`
      assert.strictEqual(reasonOf(sealed), "Damaged", name)
    }
  })
})

describe("the order of backups", () => {
  it("follows the WAL and not the clock of the machine that made them", () => {
    const at = (iso: string, lsn: string, timeline: number, systemIdentifier = "1") => {
      const position = { lsn, timeline, at: DateTime.unsafeMake(iso) }
      return example({
        label: `${iso.slice(0, 10)} ${timeline} ${lsn}`,
        start: position,
        stop: position,
        server: { ...example().server, systemIdentifier }
      })
    }
    const sorted = newestFirst([
      at("2025-11-03T00:00:00Z", "0/2000000", 1),
      at("2025-11-01T00:00:00Z", "0/A000000", 1),
      at("2025-11-02T00:00:00Z", "0/5000000", 2),
      at("2025-11-04T00:00:00Z", "0/1000000", 1, "2")
    ])
    assert.deepStrictEqual(
      sorted.map(({ label }) => label),
      ["2025-11-04 1 0/1000000", "2025-11-02 2 0/5000000", "2025-11-01 1 0/A000000", "2025-11-03 1 0/2000000"]
    )
  })
})

describe("PostgreSQL's backup_manifest", () => {
  const body = `{ "PostgreSQL-Backup-Manifest-Version": 2,
"System-Identifier": 7711047497523091482,
"Files": [
{ "Path": "PG_VERSION", "Size": 3, "Last-Modified": "2025-11-22 17:22:32 GMT", "Checksum-Algorithm": "SHA256", "Checksum": "aa" },
{ "Encoded-Path": "626173652fff", "Size": 0, "Last-Modified": "2025-11-22 17:22:32 GMT", "Checksum-Algorithm": "SHA256", "Checksum": "bb" }
],
"WAL-Ranges": [
{ "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000120" }
],
`
  const text = `${body}"Manifest-Checksum": "${Sha256.hex(body)}"}\n`
  const parse = (manifest: string) => Effect.runSync(Effect.either(PostgresManifest.parse(manifest)))

  it("keeps the system identifier, which is larger than a JavaScript number can be exact", () => {
    const manifest = Either.getOrThrow(parse(text))
    assert.strictEqual(manifest.systemIdentifier, "7711047497523091482")
    assert.deepStrictEqual(manifest.walRanges, [{ timeline: 1, start: "0/2000028", end: "0/2000120" }])
    assert.deepStrictEqual(manifest.files[0], { path: "PG_VERSION", bytes: 3, sha256: "aa" })
  })

  it.prop(
    "is refused with any byte changed",
    [FastCheck.integer({ min: 0, max: 100_000 }), FastCheck.integer({ min: 1, max: 127 })],
    ([position, change]) => {
      const bytes = Buffer.from(text)
      const at = position % (bytes.length - 1)
      bytes[at] = (bytes[at] ?? 0) ^ change
      assert.strictEqual(Either.isLeft(parse(bytes.toString("utf8"))), true)
    },
    { fastCheck: { numRuns: 300 } }
  )
})
