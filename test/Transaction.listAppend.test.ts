/**
 * The checker of list histories, on histories made by hand.
 */
import { assert, describe, it } from "@effect/vitest"
import { check } from "./support/isolation/listAppend.ts"
import type { Committed } from "./support/isolation/listAppend.ts"

const append = (key: number, value: number) => ({ do: "append", key, value }) as const
const read = (key: number, ...list: ReadonlyArray<number>) => ({ do: "read", key, list }) as const

const found = (committed: ReadonlyArray<Committed>, lists: ReadonlyArray<readonly [number, ReadonlyArray<number>]>) => [
  ...new Set(check({ committed, lists: new Map(lists) }).map(({ name }) => name))
]

describe("the checker of list histories", () => {
  it("finds nothing in a serial history", () => {
    const history = [
      [append(1, 1), read(1, 1)],
      [read(1, 1), append(2, 2), append(1, 3)],
      [read(1, 1, 3), read(2, 2)]
    ]
    assert.deepStrictEqual(
      found(history, [
        [1, [1, 3]],
        [2, [2]]
      ]),
      []
    )
  })

  it("finds a cycle of writes", () => {
    const history = [
      [append(1, 1), append(2, 2)],
      [append(1, 3), append(2, 4)]
    ]
    assert.deepStrictEqual(
      found(history, [
        [1, [1, 3]],
        [2, [4, 2]]
      ]),
      ["G0"]
    )
  })

  it("finds two transactions that read from each other", () => {
    const history = [
      [append(1, 1), read(2, 2)],
      [append(2, 2), read(1, 1)]
    ]
    assert.deepStrictEqual(
      found(history, [
        [1, [1]],
        [2, [2]]
      ]),
      ["G1c"]
    )
  })

  it("finds a reader that saw half of a transaction", () => {
    const history = [
      [append(1, 1), append(2, 2)],
      [read(1), read(2, 2)]
    ]
    assert.include(
      found(history, [
        [1, [1]],
        [2, [2]]
      ]),
      "G-single"
    )
  })

  it("finds a lost update", () => {
    const history = [
      [read(1), append(1, 1)],
      [read(1), append(1, 2)]
    ]
    assert.include(found(history, [[1, [1, 2]]]), "G-single")
  })

  it("finds write skew", () => {
    const history = [
      [read(1), append(2, 2)],
      [read(2), append(1, 1)]
    ]
    assert.deepStrictEqual(
      found(history, [
        [1, [1]],
        [2, [2]]
      ]),
      ["G2"]
    )
  })

  it("finds the read of an append that was undone, of one half done, and an append that is gone", () => {
    assert.deepStrictEqual(found([[read(1, 7)]], [[1, []]]), ["dirty read"])
    assert.include(found([[append(1, 1), append(1, 2)], [read(1, 1)]], [[1, [1, 2]]]), "intermediate read")
    assert.deepStrictEqual(found([[append(1, 1)]], [[1, []]]), ["lost append"])
  })
})
