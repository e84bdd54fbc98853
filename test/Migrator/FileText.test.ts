import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as fc from "effect/FastCheck"
import * as FileText from "../../src/Migrator/FileText.ts"

const bytes = (...parts: ReadonlyArray<string | ReadonlyArray<number>>) =>
  Uint8Array.from(parts.flatMap((part) => (typeof part === "string" ? [...new TextEncoder().encode(part)] : [...part])))

const refused = (...parts: ReadonlyArray<string | ReadonlyArray<number>>) =>
  Either.match(FileText.decode(bytes(...parts)), {
    onLeft: ({ column, line, problem }) => `${line}:${column} ${problem}`,
    onRight: (text) => `read as ${JSON.stringify(text)}`
  })

describe("the text of a migration's file", () => {
  it("is what was written, whatever the characters, without BOM and with LF line ends", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.boolean(), (written, hasBom) => {
        const text = written.replace(/[\0\r\uFEFF]/g, "")
        const crlf = text.replaceAll("\n", "\r\n")
        assert.deepStrictEqual(FileText.decode(bytes(hasBom ? [0xef, 0xbb, 0xbf] : [], crlf)), Either.right(text))
      })
    )
    assert.deepStrictEqual(FileText.decode(bytes("a \uFFFD b")), Either.right("a \uFFFD b"))
  })

  it("is refused at the first byte that is not UTF-8", () => {
    assert.strictEqual(refused("é;\nab", [0xff], "c"), "2:3 it is not UTF-8 here")
    assert.strictEqual(refused([0xef, 0xbb, 0xbf], "ab", [0xe9], " c"), "1:3 it is not UTF-8 here")
    // Cut in the middle of a character, whose first byte is that of the replacement.
    assert.strictEqual(refused("ab", [0xef]), "1:3 it is not UTF-8 here")
    assert.strictEqual(refused("ab", [0xef, 0xbf]), "1:3 it is not UTF-8 here")
  })

  it("is refused in UTF-16, and with a NUL byte, after which nothing would run", () => {
    assert.strictEqual(refused([0xff, 0xfe, 0x41, 0x00]), "1:1 it is UTF-16 and not UTF-8")
    assert.strictEqual(refused("a;\nb", [0], "DROP"), "2:2 it has a NUL byte here")
  })
})
