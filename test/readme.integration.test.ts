/**
 * What the README says, done.
 */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { execFile } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { TestDatabase } from "effect-plinth/testing"

const readme = readFileSync("README.md", "utf8")

/** Runs the program as a user would, and returns what it printed. */
const run = (environment: Record<string, string>) =>
  Effect.async<string, Error>((resume) => {
    execFile(
      process.execPath,
      ["--import", "tsx", "examples/readme/main.ts"],
      { env: { ...process.env, ...environment } },
      (error, stdout) => resume(error === null ? Effect.succeed(stdout) : Effect.fail(error))
    )
  })

layer(TestDatabase.layer({ replicas: 1 }), { excludeTestServices: true })("the README", (it) => {
  it.effect("shows a program that runs and prints what it says", () =>
    Effect.gen(function* () {
      const { replicaUrls, url } = yield* TestDatabase.TestDatabase
      assert.include(readme, readFileSync("examples/readme/main.ts", "utf8"))
      const printed = yield* run({
        DATABASE_URL: Redacted.value(url),
        DATABASE_REPLICA_URLS: replicaUrls.map(Redacted.value).join(",")
      })
      const lines = printed.trim().split("\n")
      for (const line of lines.slice(0, 3)) assert.include(readme, `\n${line}\n`)
      assert.strictEqual(lines.length, 4)
      assert.match(lines[3] ?? "", /^the next read goes to 127\.0\.0\.1:\d+\//)
    })
  )

  it.effect("links to files that exist", () =>
    Effect.sync(() => {
      const links = [...readme.matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map(([, target]) => target ?? "")
      assert.isAbove(links.length, 8)
      assert.deepStrictEqual(
        links.filter((target) => !existsSync(target)),
        []
      )
    })
  )
})
