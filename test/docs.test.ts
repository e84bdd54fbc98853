/**
 * The documentation names every option, with the default that it has, and links to what exists.
 */
import { assert, describe, it } from "@effect/vitest"
import { DatabaseConfig } from "effect-plinth"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"

const page = (name: string) => readFileSync(`docs/${name}`, "utf8")

/** The cells of the rows whose first cell is one name in backticks; the first row of each name. */
const rowsOf = (text: string) =>
  new Map(
    [...text.matchAll(/^\| `(\w+)`\s*\|(.*)\|$/gm)]
      .reverse()
      .map(([, name = "", cells = ""]) => [name, cells.split("|").map((cell) => cell.trim())])
  )

/** The members of an interface of the sources. */
const membersOf = (file: string, name: string) => {
  const [, body = ""] = new RegExp(`interface ${name} \\{\n([^]*?)\n\\}`).exec(readFileSync(file, "utf8")) ?? []
  return [...body.matchAll(/^ {2}readonly (\w+)\??:/gm)].map(([, member = ""]) => member)
}

const missing = (names: ReadonlyArray<string>, rows: ReadonlyMap<string, unknown>) => {
  assert.isAbove(names.length, 1)
  return names.filter((name) => !rows.has(name))
}

/** As GitHub makes them from headings. */
const anchorsOf = (text: string) =>
  [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, "")
      .replaceAll(" ", "-")
  )

describe("the documentation", () => {
  const client = rowsOf(page("client.md"))
  const transactions = rowsOf(page("transactions.md"))

  it("has every option of a pool, with its default", () => {
    const pool = DatabaseConfig.references.filter(({ variables: [variable = ""] }) =>
      /^PLINTH_(POOL|PREPARE|STATEMENT|CONNECT_TIMEOUT)/.test(variable)
    )
    assert.isAbove(pool.length, 15)
    for (const { defaults, option } of pool) {
      const [shown = ""] = client.get(option) ?? []
      const expected = defaults === "(not set)" ? "none" : defaults
      assert.isTrue(shown.replaceAll(/[`"]/g, "").startsWith(expected), `${option}: ${shown} instead of ${expected}`)
    }
  })

  it("has every option of the client, of values, transactions and locks", () => {
    assert.deepStrictEqual(missing(membersOf("src/DatabaseClient/make.ts", "ClientOptions"), client), [])
    assert.deepStrictEqual(missing(membersOf("src/internal/pg/typeParsers.ts", "TypeOptions"), client), [])
    assert.deepStrictEqual(missing(membersOf("src/Transaction.ts", "TransactionOptions"), transactions), [])
    assert.deepStrictEqual(missing(membersOf("src/AdvisoryLock.ts", "LockOptions"), transactions), [])
  })

  it("has every propagation and every hook", () => {
    const names = [
      "nested",
      "required",
      "requiresNew",
      "mandatory",
      "never",
      "afterCommit",
      "afterRollback",
      "onInDoubt"
    ]
    assert.deepStrictEqual(missing(names, transactions), [])
  })

  it("has every counter and every reason in the statistics of a pool", () => {
    const [stats = ""] = client.get("stats") ?? []
    for (const member of membersOf("src/ConnectionPool.ts", "PoolStats")) assert.include(stats, `\`${member}\``)
    const [, reasons = ""] = /type CloseReason = (.*)/.exec(readFileSync("src/ConnectionPool/Core.ts", "utf8")) ?? []
    for (const [, reason] of reasons.matchAll(/"(\w+)"/g)) assert.include(stats, `\`${reason}\``)
  })

  it("links to files and headings that exist", () => {
    for (const name of ["README.md", ...readdirSync("docs").map((file) => `docs/${file}`)]) {
      const text = readFileSync(name, "utf8")
      for (const [, target = "", anchor] of text.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)) {
        const file = target === "" ? name : join(dirname(name), target)
        assert.isTrue(existsSync(file), `${name} links to ${target}`)
        if (anchor !== undefined) assert.include(anchorsOf(readFileSync(file, "utf8")), anchor, name)
      }
    }
  })
})
