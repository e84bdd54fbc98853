/**
 * Every complete program in docs/ runs as it is printed there.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as FileSystem from "@effect/platform/FileSystem"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { execFile } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import * as path from "node:path"
import { promisify } from "node:util"
import { TestDatabase } from "effect-plinth/testing"

const root = path.resolve(import.meta.dirname, "..")
const docs = path.join(root, "docs")

/** A program, and what the page shows that it prints. */
const program = /^```ts\n(.*?)^```$(?:\n\nprints\n\n^```text\n(.*?)^```$)?/gms

const programs = readdirSync(docs)
  .filter((name) => name.endsWith(".md"))
  .flatMap((name) =>
    [...readFileSync(path.join(docs, name), "utf8").matchAll(program)].map((match, index) => ({
      title: `${name}, program ${index + 1}`,
      text: match[1] ?? "",
      shown: match[2]
    }))
  )

layer(TestDatabase.layer(), { excludeTestServices: true })("the documentation", (it) => {
  for (const { shown, text, title } of programs) {
    it.scoped(`shows a program that prints what it should: ${title}`, () =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const { url } = yield* TestDatabase.TestDatabase
        // Inside the checkout, so that the package resolves to itself.
        const folder = yield* fs.makeTempDirectoryScoped({ directory: path.join(root, "test"), prefix: "docs-" })
        const file = path.join(folder, "main.ts")
        yield* fs.writeFileString(file, text)
        const { stdout } = yield* Effect.promise(() =>
          promisify(execFile)(process.execPath, ["--import", "tsx", file], {
            cwd: root,
            env: { ...process.env, DATABASE_URL: Redacted.value(url) },
            timeout: 60_000
          })
        )
        assert.strictEqual(stdout, shown)
      }).pipe(Effect.provide(NodeFileSystem.layer))
    )
  }
})
