/**
 * What the log says of replicas that serve no reads.
 */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import { Database } from "effect-plinth"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import { TestDatabase } from "effect-plinth/testing"
import { withinSeconds } from "./support/effects.ts"
import * as FaultProxy from "./support/FaultProxy.ts"

/** Builds the stack, and keeps what it logs. */
const logged = (options: Database.Options) =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => void lines.push(`${logLevel.label} ${String(message)}`))
    yield* Layer.build(
      Layer.provide(
        Database.layer({ ...options, health: { background: false } }),
        Logger.replace(Logger.defaultLogger, logger)
      )
    )
    return lines
  })

const says = (lines: ReadonlyArray<string>, pattern: RegExp) =>
  withinSeconds(
    10,
    Effect.sync(() => lines.some((line) => pattern.test(line)))
  )

const byName = (url: Redacted.Redacted) => {
  const named = new URL(Redacted.value(url))
  named.hostname = "localhost"
  return Redacted.make(named.href)
}

layer(TestDatabase.layer({ replicas: 1 }), { excludeTestServices: true, timeout: "60 seconds" })(
  "the log of the stack",
  (it) => {
    it.scoped("warns of a replica that is away when the program starts, and says when it is back", () =>
      Effect.gen(function* () {
        const { replicaUrls, url } = yield* TestDatabase.TestDatabase
        const [replica] = replicaUrls
        if (replica === undefined) return yield* Effect.dieMessage("no replica")
        const proxy = yield* FaultProxy.make(Number(new URL(Redacted.value(replica)).port))
        yield* proxy.refuse
        const lines = yield* logged({ url, replicaUrls: [proxy.url(replica)] })
        yield* says(lines, /^WARN The replica 127\.0\.0\.1:\d+\/\S+ serves no reads: it cannot be reached: .*REFUSED/)
        yield* proxy.pass
        yield* says(lines, /^INFO The replica \S+ is back$/)
        assert.strictEqual(lines.filter((line) => line.startsWith("WARN")).length, 1, lines.join("\n"))
      })
    )

    it.scoped("warns of a replica that is the primary, by the same or by another address", () =>
      Effect.gen(function* () {
        const { url } = yield* TestDatabase.TestDatabase
        yield* says(yield* logged({ url, replicaUrls: [url] }), /^WARN .*serves no reads: it is \S+ itself$/)
        yield* says(yield* logged({ url, replicaUrls: [byName(url)] }), /^WARN .*serves no reads: it (is|accepts)/)
      })
    )

    it.scoped("warns of a replica of another cluster", () =>
      Effect.gen(function* () {
        const { url } = yield* TestDatabase.TestDatabase
        // A directory has a cluster by initdb; all throw-away ones are copies of one.
        const directory = yield* EmbeddedPostgres.temporaryDirectory
        const other = yield* EmbeddedPostgres.make({ directory: `${directory}/other` })
        const lines = yield* logged({ url, replicaUrls: [other.url] })
        yield* says(lines, /^WARN The replica \S+ serves no reads: it is no copy of the primary/)
      })
    )

    it.scoped("says nothing of replicas that follow", () =>
      Effect.gen(function* () {
        const { replicaUrls, url } = yield* TestDatabase.TestDatabase
        const lines = yield* logged({ url, replicaUrls })
        yield* Effect.sleep("200 millis")
        assert.deepStrictEqual(lines, [])
      })
    )
  }
)
