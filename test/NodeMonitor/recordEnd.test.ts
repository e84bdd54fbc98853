import { assert, describe, it } from "@effect/vitest"
import { recordEnd } from "../../src/NodeMonitor/sample.ts"

const mebibyte = 2n ** 20n
const segment = 16n * mebibyte
const block = 8192n

describe("the end of the last record before an insert position", () => {
  it("is the end of the page while the next page has only its header", () => {
    assert.strictEqual(recordEnd(3n * segment + 5n * block + 24n, segment, block), 3n * segment + 5n * block)
  })

  it("is the end of the segment while the next segment has only its longer header", () => {
    assert.strictEqual(recordEnd(3n * segment + 40n, segment, block), 3n * segment)
  })

  it("is the insert position everywhere else, the rest of a record at the start of a page included", () => {
    for (const offset of [0n, 8n, 16n, 32n, 40n, 48n, block - 8n]) {
      assert.strictEqual(
        recordEnd(3n * segment + 5n * block + offset, segment, block),
        3n * segment + 5n * block + offset
      )
    }
  })

  it("goes by the server's own size of segments", () => {
    const insert = 48n * mebibyte + 40n
    assert.strictEqual(recordEnd(insert, 16n * mebibyte, block), 48n * mebibyte)
    assert.strictEqual(recordEnd(insert, 64n * mebibyte, block), insert)
  })
})
