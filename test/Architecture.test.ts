import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import type { Tree } from "../scripts/architecture.ts"
import { exportsOf, modulesOf, violationsOf } from "../scripts/architecture.ts"
import { sourcesIn } from "../scripts/sources.ts"

const root = fileURLToPath(new URL("..", import.meta.url))

/** A small package that keeps every rule, with files replaced or added. */
const tree = (files: Record<string, string> = {}): Tree =>
  new Map(
    Object.entries({
      "index.ts": [
        `export * as DatabaseError from "./DatabaseError.ts"`,
        `export * as SqlText from "./SqlText.ts"`,
        `export * as ConnectionPool from "./ConnectionPool.ts"`,
        `export * as Migrator from "./Migrator.ts"`,
        `export * as Backup from "./Backup.ts"`,
        `export * as Database from "./Database.ts"`
      ].join("\n"),
      "DatabaseError.ts": "",
      "SqlText.ts": `import * as Token from "./SqlText/Token.ts"`,
      "SqlText/Token.ts": "",
      "ConnectionPool.ts": `import { open } from "./internal/pg/open.ts"`,
      "internal/pg/open.ts": `import pg from "pg"\nimport { DatabaseError } from "../../DatabaseError.ts"`,
      "internal/node/Disk.ts": `import * as fs from "node:fs"`,
      "Migrator.ts": `import { plan } from "./Migrator/Plan.ts"`,
      "Migrator/Plan.ts": `import type { Migrator } from "../Migrator.ts"\nimport * as SqlText from "../SqlText.ts"`,
      "Backup.ts": "",
      "Database.ts": `import * as Migrator from "./Migrator.ts"\nimport * as Backup from "./Backup.ts"`,
      "embedded/index.ts": `import * as net from "node:net"`,
      "cli/main.ts": `import * as fs from "node:fs"\nimport "../embedded/index.ts"\nimport "../Database.ts"`,
      ...files
    })
  )

const only = (files: Record<string, string>, expected: RegExp): void => {
  const violations = violationsOf(tree(files))
  assert.strictEqual(violations.length, 1, violations.join("\n"))
  assert.match(violations[0] ?? "", expected)
}

describe("Architecture", () => {
  it("holds for the sources of this package", () => {
    const sources = sourcesIn(root)
    assert.isAbove(modulesOf(sources.get("index.ts") ?? "").length, 0)
    assert.deepStrictEqual(violationsOf(sources), [])
  })

  it("offers every module and edge as an entry point, and nothing else", () => {
    const manifest: unknown = JSON.parse(readFileSync(`${root}/package.json`, "utf8"))
    const exports = typeof manifest === "object" && manifest !== null && "exports" in manifest ? manifest.exports : {}
    assert.deepStrictEqual(exports, exportsOf(sourcesIn(root)), "run: npm run exports")
  })

  describe("the checker", () => {
    it("accepts a package that keeps every rule", () => assert.deepStrictEqual(violationsOf(tree()), []))

    it("finds a module that imports one below it", () =>
      only({ "SqlText.ts": `import * as Pool from "./ConnectionPool.ts"` }, /SqlText imports ConnectionPool/))

    it("finds a part that imports a part of a module below it", () =>
      only({ "SqlText/Token.ts": `import type { Plan } from "../Migrator/Plan.ts"` }, /SqlText imports Migrator/))

    it("finds an upward import that hides behind internal", () =>
      only(
        { "internal/pg/open.ts": `import type { Database } from "../../Database.ts"` },
        /ConnectionPool imports Database.*internal\/pg\/open\.ts -> Database\.ts/
      ))

    it("finds an upward import inside a dynamic import", () =>
      only({ "SqlText.ts": `export const lazy = () => import("./Migrator.ts")` }, /SqlText imports Migrator/))

    it("finds an upward re-export", () =>
      only({ "SqlText.ts": `export type { plan } from "./Migrator/Plan.ts"` }, /SqlText imports Migrator/))

    it("finds a module that the barrel does not list", () =>
      only({ "QueryCache.ts": "" }, /QueryCache\.ts: not listed in index\.ts/))

    it("finds a folder that belongs to no module", () =>
      only({ "QueryCache/Store.ts": "" }, /QueryCache\/ belongs to no module/))

    it("finds a listed module that does not exist", () =>
      only({ "index.ts": `${tree().get("index.ts")}\nexport * as Gone from "./Gone.ts"` }, /lists Gone/))

    it("finds a capability that imports its sibling, even downward", () =>
      only(
        { "Backup.ts": `import * as Migrator from "./Migrator.ts"` },
        /capability Backup imports its sibling Migrator/
      ))

    for (const specifier of ["pg", "pg-cursor", "pg-types", "pg/lib/connection.js"]) {
      it(`finds an import of ${specifier} outside internal/pg`, () =>
        only({ "ConnectionPool.ts": `import type * as x from "${specifier}"` }, /the driver stays in internal\/pg\//))
    }

    for (const specifier of ["node:fs", "fs", "node:timers/promises"]) {
      it(`finds an import of ${specifier} outside Node's rooms`, () =>
        only({ "cli/Table.ts": `import * as x from "${specifier}"` }, /Node stays in internal\/node\//))
    }

    it("finds an import of @effect/platform-node outside its rooms", () =>
      only(
        { "Backup.ts": `import * as x from "@effect/platform-node/NodeFileSystem"` },
        /@effect\/platform-node stays in cli\//
      ))

    it("finds a module that imports an edge", () =>
      only({ "Database.ts": `import "./embedded/index.ts"` }, /embedded\/index\.ts, an edge/))

    it("finds an import of the barrel", () =>
      only({ "Database.ts": `import type { Backup } from "./index.ts"` }, /imports the barrel/))

    it("finds files that need each other to load", () =>
      only({ "SqlText/Token.ts": `import { statements } from "../SqlText.ts"` }, /a cycle of imports: SqlText/))

    it("finds a name that says nothing", () => only({ "Migrator/utils.ts": "" }, /"utils" says nothing/))
  })

  describe("the entry points", () => {
    it("are the barrel, its modules and the edges, with their types", () => {
      assert.deepStrictEqual(Object.keys(exportsOf(tree({ "adapters/Drizzle.ts": "" }))), [
        ".",
        "./DatabaseError",
        "./SqlText",
        "./ConnectionPool",
        "./Migrator",
        "./Backup",
        "./Database",
        "./adapters/*",
        "./embedded",
        "./internal/*",
        "./package.json"
      ])
      assert.deepStrictEqual(exportsOf(tree())["./Migrator"], {
        types: "./dist/Migrator.d.ts",
        default: "./dist/Migrator.js"
      })
      assert.isNull(exportsOf(tree())["./internal/*"])
    })
  })
})
