/**
 * What the README says, done.
 */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { execFile } from "node:child_process"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { TestDatabase } from "effect-plinth/testing"

const readme = readFileSync("README.md", "utf8")

const Manifest = Schema.parseJson(
  Schema.Struct({
    name: Schema.String,
    version: Schema.String,
    files: Schema.Array(Schema.String),
    peerDependencies: Schema.Record({ key: Schema.String, value: Schema.String })
  })
)
const manifest = Schema.decodeSync(Manifest)(readFileSync("package.json", "utf8"))

/** Runs a program as a user would, and returns the lines that it printed. */
const run = (example: string, environment: Record<string, string> = {}) =>
  Effect.async<ReadonlyArray<string>, Error>((resume) => {
    execFile(
      process.execPath,
      ["--import", "tsx", `examples/readme/${example}`],
      { env: { ...process.env, ...environment } },
      (error, stdout) => resume(error === null ? Effect.succeed(stdout.trim().split("\n")) : Effect.fail(error))
    )
  })

const onDatabase = (example: string) =>
  Effect.flatMap(TestDatabase.TestDatabase, ({ replicaUrls, url }) =>
    run(example, {
      DATABASE_URL: Redacted.value(url),
      DATABASE_REPLICA_URLS: replicaUrls.map(Redacted.value).join(",")
    })
  )

layer(TestDatabase.layer({ replicas: 1 }), { excludeTestServices: true, timeout: "120 seconds" })(
  "the README",
  (it) => {
    it.effect("shows the programs that are in examples/readme, whole, and no others", () =>
      Effect.sync(() => {
        const shown = [...readme.matchAll(/```ts\n([^]*?)```/g)].map(([, text]) => text ?? "")
        const examples = readdirSync("examples/readme").map((file) => readFileSync(`examples/readme/${file}`, "utf8"))
        assert.deepStrictEqual(shown.toSorted(), examples.toSorted())
      })
    )

    it.effect("shows a program that prints what it says, however often it is run", () =>
      Effect.gen(function* () {
        for (let time = 0; time < 3; time++) {
          const lines = yield* onDatabase("main.ts")
          assert.include(readme, `\n${lines.slice(0, 3).join("\n")}\n`)
          assert.strictEqual(lines.length, 4)
          assert.match(lines[3] ?? "", /^the next read goes to 127\.0\.0\.1:\d+\//)
        }
      })
    )

    it.effect("shows how failures are caught, with what that prints", () =>
      Effect.gen(function* () {
        const lines = yield* onDatabase("failures.ts")
        assert.strictEqual(lines.length, 2)
        assert.include(readme, `\n\`\`\`\n${lines.join("\n")}\n\`\`\`\n`)
      })
    )

    it.effect("shows migrations from a program, which may have run before", () =>
      Effect.gen(function* () {
        for (let time = 0; time < 2; time++) {
          assert.include(readme, `it ends with \`${(yield* onDatabase("migrate.ts")).at(-1)}\``)
        }
      })
    )

    it.effect("shows a program that brings its own server", () =>
      Effect.gen(function* () {
        const [line] = yield* run("embedded.ts")
        assert.include(readme, `It prints \`${line}\``)
      })
    )

    it.effect("installs the versions that the package asks for", () =>
      Effect.sync(() => {
        const asked = Object.entries(manifest.peerDependencies).map(([name, range]) => `${name}@${range}`)
        const installed = [...readme.matchAll(/^npm install .*$/gm)].flatMap(([line]) =>
          (line.split("#")[0] ?? "").split(" ").filter((word) => /.@/.test(word))
        )
        assert.deepStrictEqual(installed.toSorted(), asked.toSorted())
        assert.include(readme, `${manifest.name}-${manifest.version}.tgz`)
      })
    )

    it.effect("links to files that exist, and the package has those that describe it", () =>
      Effect.sync(() => {
        const links = [...readme.matchAll(/\]\((?!https?:|#)([^)#]+)\)/g)].map(([, target]) => target ?? "")
        assert.isAbove(links.length, 8)
        assert.deepStrictEqual(
          links.filter((target) => !existsSync(target)),
          []
        )
        assert.include(manifest.files, "docs")
        for (const document of readdirSync("docs")) assert.include(links, `docs/${document}`)
      })
    )
  }
)
