import { assert, describe, it } from "@effect/vitest"
import { packageVersion } from "../../src/internal/packageVersion.ts"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import { readFileSync } from "node:fs"
import { gunzipSync } from "node:zlib"
import * as BackupLabel from "../../src/Backup/BackupLabel.ts"
import * as EntryPlacement from "../../src/Backup/EntryPlacement.ts"
import * as Lsn from "../../src/Backup/Lsn.ts"
import * as Gzip from "../../src/internal/node/Gzip.ts"

describe("labels", () => {
  it.effect("differ within one second, even when the random id comes up twice", () =>
    Effect.gen(function* () {
      const at = DateTime.unsafeMake("2025-11-22T17:34:12.345Z")
      const seeded = (taken: ReadonlyArray<string>) =>
        BackupLabel.make(at, new Set(taken)).pipe(Effect.withRandom(Random.make("same")))
      const first = yield* seeded([])
      const second = yield* seeded([first])
      assert.match(first, /^20251122T173412Z-[0-9a-f]{6}$/)
      assert.strictEqual(yield* seeded([]), first)
      assert.notStrictEqual(second, first)
    })
  )

  it("are never a path, a hidden file or an unfinished backup", () => {
    const label = "20251122T173412Z-0f3a9c"
    assert.isTrue(BackupLabel.isLabel(label))
    for (const name of ["..", `../${label}`, `${label}/..`, `${label}.partial`, `.${label}`, `${label}\n`, "", " "]) {
      assert.isFalse(BackupLabel.isLabel(name), name)
    }
  })
})

describe("entries of an archive", () => {
  const base = { kind: "archive", name: "base.tar", bytes: 0, sha256: "", tarBytes: 0 } as const
  const fast = { ...base, name: "16384.tar", tablespace: { oid: 16384, location: "/fast" } }
  const place = (
    path: string,
    type: "file" | "directory" | "symlink" = "file",
    archive: typeof base | typeof fast = base
  ) => EntryPlacement.place(archive, [base, fast], { type, path, bytes: 0, linkTarget: "/fast" })

  it("are refused when they could lead out of the data directory", () => {
    for (const path of ["/etc/passwd", "../x", "base/../../x", "base/..", "C:\\x", "c:/x", "a\\b", "", "./"]) {
      assert.isTrue(Either.isLeft(place(path)), path)
    }
  })

  it("keep the place that PostgreSQL gave them", () => {
    assert.deepStrictEqual(
      place("./base/5//1259_fsm"),
      Either.right({ _tag: "File", parts: ["base", "5", "1259_fsm"], name: "base/5/1259_fsm" })
    )
    assert.deepStrictEqual(
      place("PG_18/5", "directory", fast),
      Either.right({
        _tag: "Directory",
        parts: ["plinth_tablespaces", "16384", "PG_18", "5"],
        name: "pg_tblspc/16384/PG_18/5"
      })
    )
  })

  it("may be symbolic links only as tablespaces that have an archive", () => {
    assert.deepStrictEqual(
      place("pg_tblspc/16384", "symlink"),
      Either.right({ _tag: "TablespaceLink", oid: 16384, target: "/fast" })
    )
    for (const path of ["pg_wal", "base/5", "pg_tblspc/x", "pg_tblspc/1/2", "pg_tblspc/../1", "pg_tblspc/99"]) {
      assert.isTrue(Either.isLeft(place(path, "symlink")), path)
    }
  })

  it("are refused where they would be written through a tablespace's link", () => {
    assert.isTrue(Either.isLeft(place("pg_tblspc/16384/PG_18/5/1")))
    assert.isTrue(Either.isLeft(place("pg_tblspc/16384")))
  })
})

describe("WAL positions", () => {
  it.prop("survive being written and read", [FastCheck.bigInt({ min: 0n, max: 2n ** 64n - 1n })], ([lsn]) => {
    assert.strictEqual(Lsn.parse(Lsn.format(lsn)), lsn)
  })

  it("name the segments from the first byte to the last, across the end of a log file", () => {
    const names = Lsn.segments(2, Lsn.parse("0/FE000028") ?? 0n, Lsn.parse("1/1000000") ?? 0n, 16 * 1024 * 1024)
    assert.deepStrictEqual(names, ["0000000200000000000000FE", "0000000200000000000000FF", "000000020000000100000000"])
  })
})

describe("gzip", () => {
  const bytes = FastCheck.uint8Array({ maxLength: 5000 })

  it.live.prop(
    "members written one after the other decompress to the whole, however the bytes are cut",
    [FastCheck.array(bytes, { minLength: 1, maxLength: 5 }), FastCheck.integer({ min: 1, max: 4000 })],
    ([blocks, size]) =>
      Effect.gen(function* () {
        const members = yield* Effect.forEach(blocks, (block) => Gzip.compress(block, 1), { concurrency: 2 })
        const file = Buffer.concat(members)
        const pieces = Array.from({ length: Math.ceil(file.length / size) }, (_, index) =>
          Uint8Array.from(file.subarray(index * size, (index + 1) * size))
        )
        const chunks = yield* Stream.runCollect(Gzip.decompress(Stream.fromIterable(pieces)))
        const result = Buffer.concat([...chunks])
        assert.isTrue(result.equals(Buffer.concat(blocks)))
        assert.isTrue(gunzipSync(file).equals(result))
      }),
    { fastCheck: { numRuns: 60 } }
  )

  it.live("fails when the stream ends early or is something else", () =>
    Effect.gen(function* () {
      const member = yield* Gzip.compress(Buffer.alloc(100_000, "plinth"), 6)
      const run = (bytes: Uint8Array) => Effect.flip(Stream.runDrain(Gzip.decompress(Stream.make(bytes))))
      assert.strictEqual((yield* run(member.subarray(0, member.length - 9)))._tag, "GzipError")
      assert.strictEqual((yield* run(Buffer.from("not gzip at all")))._tag, "GzipError")
    })
  )

  it.live("fails with the failure of its source, and not with its own", () =>
    Effect.gen(function* () {
      const member = yield* Gzip.compress(Buffer.alloc(100_000, "plinth"), 6)
      const source = Stream.concat(Stream.make(member.subarray(0, 50)), Stream.fail("the disk is gone"))
      assert.strictEqual(yield* Effect.flip(Stream.runDrain(Gzip.decompress(source))), "the disk is gone")
    })
  )

  it.live("reads its source no faster than it is read", () =>
    Effect.gen(function* () {
      // 1 MiB of zeros is about 1 KiB: the engine's buffers hold a few members, and a greedy reader would take all 400.
      const member = yield* Gzip.compress(Buffer.alloc(1 << 20), 1)
      let taken = 0
      const source = Stream.range(1, 400).pipe(
        Stream.rechunk(1),
        Stream.map(() => {
          taken += 1
          return member
        })
      )
      yield* Stream.runHead(Gzip.decompress(source))
      assert.isBelow(taken, 50)
    })
  )
})

describe("the package version that backups carry", () => {
  it("is the one of package.json", () => {
    const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"))
    assert.strictEqual(packageVersion, version)
  })
})
