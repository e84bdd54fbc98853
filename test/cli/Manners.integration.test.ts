import { assert, describe, it } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Redacted from "effect/Redacted"
import { TestDatabase } from "effect-plinth/testing"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as FaultProxy from "../support/FaultProxy.ts"
import { withDatabase } from "../support/migrators.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { plinth, shell, starting } from "./support/Plinth.ts"

/** util-linux's `script` gives a program a terminal. */
const hasScript = () => existsSync("/usr/bin/script")

const ansi = "\u001b["
const unreachable = "postgres://app:sesame@127.0.0.1:1/shop"

const Package = Schema.parseJson(Schema.Struct({ version: Schema.String }))

describe("plinth", () => {
  it.live("prints the version of the package, and nothing else", () =>
    Effect.gen(function* () {
      const { version } = yield* Schema.decode(Package)(readFileSync("package.json", "utf8"))
      assert.deepStrictEqual(yield* plinth(["--version"]), {
        code: 0,
        signal: null,
        stdout: `${version}\n`,
        stderr: ""
      })
    })
  )

  it.live("explains every command under --help, on stdout and without colours", () =>
    Effect.gen(function* () {
      const ended = yield* plinth(["migrate", "up", "--help"])
      assert.strictEqual(ended.code, 0)
      assert.include(ended.stdout, "Usage: plinth migrate up [options]")
      assert.include(ended.stdout, "DATABASE_URL")
      assert.include(ended.stdout, "Exit codes")
      assert.notInclude(ended.stdout, ansi)
      assert.strictEqual(ended.stderr, "")
    })
  )

  it.live("answers a typing error on stderr with what was meant, and exits 2", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* plinth(["migrate", "stauts"]), {
        code: 2,
        signal: null,
        stdout: "",
        stderr: 'Error: There is no command "stauts" of plinth migrate. Did you mean `plinth migrate status`?\n'
      })
    })
  )

  it.live("prints completions that their shells can read", () =>
    Effect.gen(function* () {
      const parsed = yield* shell("plinth --completions bash | bash -n")
      assert.deepStrictEqual([parsed.code, parsed.stderr], [0, ""])
      const completed = yield* shell(
        'eval "$(plinth --completions bash)"; COMP_WORDS=(plinth migrate s); COMP_CWORD=2; _plinth; echo "${COMPREPLY[@]}"'
      )
      assert.strictEqual(completed.stdout.trim(), "status")
    })
  )

  it.live("says in one paragraph why a server cannot be reached, and never shows the password", () =>
    Effect.gen(function* () {
      const ended = yield* plinth(["migrate", "status", "--url", unreachable])
      assert.strictEqual(ended.code, 1)
      assert.strictEqual(ended.stdout, "")
      assert.match(ended.stderr, /^Error: .*127\.0\.0\.1:1\/shop.*ECONNREFUSED.*\n$/)
      const debug = yield* plinth(["migrate", "status", "--debug", "--url", unreachable])
      assert.include(debug.stderr, "at ")
      assert.notInclude(ended.stderr + debug.stderr, "sesame")
    })
  )

  it.live("writes an error as one line of JSON with --json", () =>
    Effect.gen(function* () {
      const ended = yield* plinth(["migrate", "status", "--json", "--url", unreachable])
      assert.strictEqual(ended.stdout, "")
      const error: unknown = JSON.parse(ended.stderr)
      assert.deepInclude(error, { level: "error", error: "DatabaseError", reason: "ConnectionRefused", code: 1 })
    })
  )

  it.live("names the wrong password in words, and not its value", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const wrong = new URL(Redacted.value(url))
      wrong.username = "nobody_of_that_name"
      wrong.password = "sesame"
      const ended = yield* plinth(["migrate", "status"], { env: { DATABASE_URL: wrong.href } })
      assert.strictEqual(ended.code, 1)
      assert.match(ended.stderr, /nobody_of_that_name/)
      assert.notInclude(ended.stderr, "sesame")
    }).pipe(withDatabase)
  )

  it.live("says what makes a database that does not exist", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const missing = new URL(Redacted.value(url))
      missing.pathname = "/no_such_database"
      const ended = yield* plinth(["migrate", "status"], { env: { DATABASE_URL: missing.href } })
      assert.strictEqual(ended.code, 1)
      assert.match(ended.stderr, /^Error: .*"no_such_database" does not exist.* `plinth setup --create-database`\.?\n$/)
    }).pipe(withDatabase)
  )

  it.live("refuses a value that is not one in a variable, naming the variable", () =>
    Effect.gen(function* () {
      const ended = yield* plinth(["config"], { env: { PLINTH_POOL_MAX: "many" } })
      assert.strictEqual(ended.code, 2)
      assert.match(ended.stderr, /PLINTH_POOL_MAX/)
    })
  )

  it.live("ends quietly when nobody reads its output to the end", () =>
    Effect.gen(function* () {
      const config = yield* shell("plinth config --quiet | head -1")
      assert.deepStrictEqual([config.code, config.stderr], [0, ""])
      const endless = yield* shell(
        "(while true; do echo '\"SELECT 1\"'; done) 2>/dev/null | plinth route --json | head -2"
      )
      assert.strictEqual(endless.stdout.split("\n").length, 3)
      assert.strictEqual(endless.stderr, "")
    })
  )

  it.live("never falls back on the embedded server in production, under CI, or when any database variable is set", () =>
    Effect.gen(function* () {
      const cwd = yield* temporaryDirectory()
      mkdirSync(join(cwd, "migrations"))
      for (const env of [{ NODE_ENV: "production" }, { CI: "true" }]) {
        const ended = yield* plinth(["migrate", "status"], { cwd, env })
        assert.strictEqual(ended.code, 2, JSON.stringify(env))
        assert.include(ended.stderr, "No database is configured")
        assert.include(ended.stderr, "--embedded")
      }
      const set = yield* plinth(["migrate", "status"], { cwd, env: { PGPORT: "1" } })
      assert.strictEqual(set.code, 1)
      assert.include(set.stderr, "localhost:1")
      for (const command of [["backup", "create"], ["health-check"]]) {
        const ended = yield* plinth(command, { cwd })
        assert.strictEqual(ended.code, command[0] === "backup" ? 2 : 3)
        assert.include(ended.stderr, "never guesses")
      }
    }).pipe(Effect.scoped)
  )

  it.live("takes any number of --replica-url, and shows no password of one", () =>
    Effect.gen(function* () {
      const one = ["config", "show", "--url", unreachable, "--replica-url", unreachable]
      const single = yield* plinth(one)
      assert.deepStrictEqual([single.code, single.stderr], [0, ""])
      assert.match(single.stdout, /replicaUrls +postgres:\/\/app:\S+@127\.0\.0\.1:1\/shop /)
      const ended = yield* plinth([...one, "--replica-url", "postgres://r2:sesame@h:2/shop"])
      assert.deepStrictEqual([ended.code, ended.stderr], [0, ""])
      assert.match(
        ended.stdout,
        /replicaUrls +postgres:\/\/app:\S+@127\.0\.0\.1:1\/shop, postgres:\/\/r2:\S+@h:2\/shop/
      )
      assert.notInclude(ended.stdout, "sesame")
    })
  )

  it.live("takes a DATABASE_URL that is set and empty for a mistake, and for no licence to use another database", () =>
    Effect.gen(function* () {
      const cwd = yield* temporaryDirectory()
      mkdirSync(join(cwd, "migrations"))
      for (const DATABASE_URL of ["", " "]) {
        for (const command of [["migrate", "up"], ["setup"], ["config"]]) {
          const ended = yield* plinth(command, { cwd, env: { DATABASE_URL } })
          assert.strictEqual(ended.code, 2, ended.stdout)
          assert.match(ended.stderr, /^Error: .*DATABASE_URL.*empty/)
        }
      }
      assert.isFalse(existsSync(join(cwd, ".plinth")))
      const given = yield* plinth(["config", "--url", unreachable], { cwd, env: { DATABASE_URL: "" } })
      assert.strictEqual(given.code, 0, given.stderr)
    }).pipe(Effect.scoped)
  )

  it.live("refuses a folder that was named and is not there, before it reaches or makes a database", () =>
    Effect.gen(function* () {
      const cwd = yield* temporaryDirectory()
      for (const command of [["setup"], ["health-check", "--url", unreachable], ["migrate", "up"], ["reset"]]) {
        const usage = command[0] === "health-check" ? 3 : 2
        for (const given of [
          { args: ["--dir", "migratons"], env: {} },
          { args: [], env: { PLINTH_DIR: "migratons" } }
        ]) {
          const ended = yield* plinth([...command, ...given.args], { cwd, env: given.env })
          assert.deepStrictEqual([ended.code, ended.stdout], [usage, ""], command.join(" "))
          assert.include(ended.stderr, `There is no folder ${join(cwd, "migratons")}`)
          assert.include(ended.stderr, "--dir")
          assert.include(ended.stderr, "plinth migrate create")
        }
      }
      const status = yield* plinth(["migrate", "status"], { cwd })
      assert.strictEqual(status.code, 2)
      assert.isFalse(existsSync(join(cwd, ".plinth")))
    }).pipe(Effect.scoped)
  )

  it.live("says that the settings of no database are not those of the embedded one", () =>
    Effect.gen(function* () {
      const unconfigured = yield* plinth(["config"])
      assert.strictEqual(unconfigured.code, 0)
      assert.match(unconfigured.stderr, /No database is configured: .* use the embedded PostgreSQL/)
      assert.strictEqual((yield* plinth(["config", "--url", unreachable])).stderr, "")
    })
  )

  it.live("names an option as it is written, and the health check that was meant", () =>
    Effect.gen(function* () {
      const url = yield* plinth(["config", "--url", "mysql://h/d"])
      assert.match(url.stderr, /^Error: --url: it does not start with postgres/)
      const replica = yield* plinth(["config", "--url", unreachable, "--replica-url", "mysql://h/d"])
      assert.match(replica.stderr, /^Error: --replica-url \(number 1\): it does not start with postgres/)
      const check = yield* plinth(["health-check", "--explain", "reachble"])
      assert.deepStrictEqual([check.code, check.stdout], [3, ""])
      assert.include(check.stderr, "Did you mean reachable?")
    })
  )

  it.live("reads settings from a configuration file, and lets the environment win", () =>
    Effect.gen(function* () {
      const cwd = yield* temporaryDirectory()
      writeFileSync(join(cwd, "plinth.config.json"), JSON.stringify({ DATABASE_URL: unreachable, PLINTH_POOL_MAX: 7 }))
      const file = yield* plinth(["config", "--json"], { cwd })
      assert.include(file.stdout, '"value":"7"')
      assert.notInclude(file.stdout, "sesame")
      const environment = yield* plinth(["config", "--json"], { cwd, env: { PLINTH_POOL_MAX: "9" } })
      assert.include(environment.stdout, '"value":"9"')
      const missing = yield* plinth(["config", "--config", "nowhere.json"], { cwd })
      assert.strictEqual(missing.code, 2)
    }).pipe(Effect.scoped)
  )

  it.live("exits 130 on Ctrl-C and 143 on SIGTERM, within 5 s", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const cwd = yield* temporaryDirectory()
      mkdirSync(join(cwd, "migrations"))
      writeFileSync(join(cwd, "migrations/0001_slow.sql"), "SELECT pg_sleep(60);\n")
      for (const [signal, code] of [
        ["SIGINT", 130],
        ["SIGTERM", 143]
      ] as const) {
        const running = yield* starting(["migrate", "up"], { cwd, env: { DATABASE_URL: Redacted.value(url) } })
        yield* Effect.promise(() => running.printed("Applying"))
        const before = performance.now()
        running.child.kill(signal)
        const ended = yield* Effect.promise(() => running.ended)
        assert.strictEqual(ended.code, code)
        assert.isBelow(performance.now() - before, 5500)
      }
    }).pipe(withDatabase)
  )

  it.live("waits 5 s at most for a server that does not answer, and not at all after a person asks again", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const cwd = yield* temporaryDirectory()
      mkdirSync(join(cwd, "migrations"))
      writeFileSync(join(cwd, "migrations/0001_slow.sql"), "SELECT pg_sleep(60);\n")
      /** Milliseconds from the last of the signals, which are sent so long after one another, to the end. */
      const interrupted = (...pauses: ReadonlyArray<Duration.DurationInput>) =>
        Effect.gen(function* () {
          const proxy = yield* FaultProxy.make(Number(new URL(Redacted.value(url)).port))
          const env = { DATABASE_URL: Redacted.value(proxy.url(url)) }
          const running = yield* starting(["migrate", "up"], { cwd, env })
          yield* Effect.promise(() => running.printed("Applying"))
          yield* proxy.blackhole
          running.child.kill("SIGINT")
          for (const pause of pauses) {
            yield* Effect.sleep(pause)
            running.child.kill("SIGINT")
          }
          const before = performance.now()
          const ended = yield* Effect.promise(() => running.ended)
          assert.strictEqual(ended.code, 130)
          return performance.now() - before
          // The proxy closes with the scope, and only then does the server learn that its client is gone.
        }).pipe(Effect.scoped)
      assert.isBelow(yield* interrupted("1200 millis"), 500)
      for (const pauses of [[], ["50 millis"]] as const) {
        const patient = yield* interrupted(...pauses)
        assert.isAbove(patient, 2000)
        assert.isBelow(patient, 6500)
      }
    }).pipe(withDatabase)
  )

  it.live.runIf(hasScript())("colours a terminal, and not under NO_COLOR", () =>
    Effect.gen(function* () {
      const inTerminal = (env: Readonly<Record<string, string>>) =>
        shell('script -qec "$PLINTH config" /dev/null', { env: { TERM: "xterm", ...env } })
      assert.include((yield* inTerminal({})).stdout, ansi)
      assert.notInclude((yield* inTerminal({ NO_COLOR: "1" })).stdout, ansi)
      assert.notInclude((yield* plinth(["config"])).stdout, ansi)
    })
  )
})
