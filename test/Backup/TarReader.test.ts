import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { sealHeader, tarHeader } from "../support/backups.ts"
import { TarError, TarReader } from "../../src/Backup/TarReader.ts"

interface Extracted {
  readonly type: string
  readonly content: string
}

/** Reads an archive in pieces of the given sizes, which repeat. */
const readAll = (archive: Uint8Array, sizes: ReadonlyArray<number>): Map<string, Extracted> => {
  const reader = new TarReader()
  const found = new Map<string, Extracted>()
  let path = ""
  let type = ""
  let link = ""
  let parts: Array<Uint8Array> = []
  let at = 0
  for (let turn = 0; at < archive.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1
    // A copy, overwritten afterwards: what the reader keeps must be its own.
    const piece = Uint8Array.from(archive.subarray(at, at + size))
    for (const event of reader.push(piece)) {
      if (event._tag === "Entry") {
        path = event.entry.path
        type = event.entry.type
        link = event.entry.linkTarget
        parts = []
      } else if (event._tag === "Data") parts.push(Uint8Array.from(event.bytes))
      else if (event._tag === "EntryEnd") {
        found.set(path, { type, content: type === "symlink" ? link : Buffer.concat(parts).toString("latin1") })
      }
    }
    piece.fill(0xff)
    at += size
  }
  reader.end()
  return found
}

const name = FastCheck.stringMatching(/^[a-z0-9_.é-]{1,40}$/).filter((text) => !/^\.+$|^-/.test(text))

const tree = FastCheck.dictionary(
  FastCheck.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/")),
  FastCheck.oneof(
    FastCheck.record({
      type: FastCheck.constant("file"),
      content: FastCheck.string({ unit: "binary-ascii", maxLength: 1600 })
    }),
    FastCheck.record({ type: FastCheck.constant("symlink"), content: name })
  ),
  { maxKeys: 12 }
).map((entries) => {
  // A path that is also a directory of another one cannot be both.
  const paths = Object.keys(entries)
  return new Map(Object.entries(entries).filter(([path]) => !paths.some((other) => other.startsWith(`${path}/`))))
})

/** Packs a tree with the system's tar. */
const pack = (entries: ReadonlyMap<string, Extracted>): Uint8Array => {
  const directory = mkdtempSync(join(tmpdir(), "plinth-tar-"))
  try {
    for (const [path, { content, type }] of entries) {
      mkdirSync(join(directory, dirname(path)), { recursive: true })
      if (type === "symlink") symlinkSync(content, join(directory, path))
      else writeFileSync(join(directory, path), content, "latin1")
    }
    return execFileSync("tar", ["--format=ustar", "-cf", "-", "."], { cwd: directory, maxBuffer: 1 << 26 })
  } finally {
    rmSync(directory, { recursive: true })
  }
}

const end = Buffer.alloc(1024)

const failure = (archive: Uint8Array): string => {
  try {
    readAll(archive, [700])
    return "no failure"
  } catch (error) {
    return error instanceof TarError ? error.description : String(error)
  }
}

describe("TarReader", () => {
  it.prop(
    "finds what the system's tar packed, however the bytes are cut",
    [tree, FastCheck.array(FastCheck.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 5 })],
    ([entries, sizes]) => {
      const found = readAll(pack(entries), sizes)
      for (const [path, expected] of entries) assert.deepStrictEqual(found.get(`./${path}`), expected)
      const files = [...found].filter(([, { type }]) => type !== "directory")
      assert.strictEqual(files.length, entries.size)
    },
    { fastCheck: { numRuns: 40 } }
  )

  it.prop(
    "refuses an archive that is cut anywhere",
    [FastCheck.integer({ min: 0, max: 3 * 512 + 1023 })],
    ([length]) => {
      const archive = Buffer.concat([tarHeader({ bytes: 512 }), Buffer.alloc(512, 7), tarHeader({ name: "b" }), end])
      assert.notStrictEqual(failure(archive.subarray(0, length)), "no failure")
    }
  )

  it.prop(
    "refuses a header with any byte changed",
    [FastCheck.integer({ min: 0, max: 511 }), FastCheck.integer({ min: 1, max: 255 })],
    ([position, change]) => {
      const archive = Buffer.concat([tarHeader({}), end])
      archive[position] = (archive[position] ?? 0) ^ change
      // The checksum field ends with a zero and a space that its number does not include.
      FastCheck.pre(position !== 154 && position !== 155)
      assert.notStrictEqual(failure(archive), "no failure")
    }
  )

  it("reads the size of a file of 8 GiB and more, which octal digits cannot hold", () => {
    const block = tarHeader({})
    block.fill(0, 124, 136)
    block[124] = 0x80
    block.writeBigUInt64BE(12_345_678_901n, 128)
    const [entry] = new TarReader().push(sealHeader(block))
    assert.strictEqual(entry?._tag === "Entry" ? entry.entry.bytes : -1, 12_345_678_901)
  })

  it("refuses hard links, devices and extended headers", () => {
    for (const type of ["1", "3", "4", "6", "x", "g", "L", "K"]) {
      assert.include(failure(Buffer.concat([tarHeader({ type }), end])), `has type "${type}"`)
    }
  })

  it("refuses what follows the end-of-archive mark", () => {
    assert.include(failure(Buffer.concat([end, tarHeader({})])), "follows its end-of-archive mark")
  })

  it("refuses a name that is not UTF-8", () => {
    const block = tarHeader({ name: "ab" })
    block[1] = 0xff
    sealHeader(block)
    assert.include(failure(Buffer.concat([block, end])), "not valid UTF-8")
  })
})
