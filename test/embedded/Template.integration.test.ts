import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import * as EmbeddedPostgres from "../../src/embedded/EmbeddedPostgres.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { vi } from "vitest"

// Several clusters are started one after the other, maybe on a busy machine.
vi.setConfig({ testTimeout: 90_000 })

/** Runs with a cache of its own, so that the machine's is neither used nor hurt. */
const withCache = <A, E, R>(use: (cache: string) => Effect.Effect<A, E, R>) =>
  temporaryDirectory().pipe(
    Effect.flatMap((cache) => Effect.withConfigProvider(use(cache), provider(cache))),
    Effect.scoped
  )

const provider = (cache: string) =>
  ConfigProvider.orElse(ConfigProvider.fromMap(new Map([["PLINTH_CACHE_DIR", cache]])), () => ConfigProvider.fromEnv())

const templates = (cache: string) => readdirSync(cache).filter((name) => name.startsWith("cluster-"))

describe("the cluster template", () => {
  it.live("is made once per version and configuration, also by two starts at a time", () =>
    withCache((cache) =>
      Effect.gen(function* () {
        const start = Effect.scoped(EmbeddedPostgres.make())
        yield* Effect.all([start, start], { concurrency: 2 })
        yield* Effect.scoped(EmbeddedPostgres.make({ settings: { work_mem: "5MB" } }))
        assert.lengthOf(templates(cache), 1)
        yield* Effect.scoped(EmbeddedPostgres.make({ settings: { max_connections: "40" } }))
        assert.lengthOf(templates(cache), 2)
        assert.deepStrictEqual(
          readdirSync(cache).filter((name) => name.startsWith("building-")),
          []
        )
      })
    )
  )

  it.live("is made again when a cleaner removed files of it", () =>
    withCache((cache) =>
      Effect.gen(function* () {
        yield* Effect.scoped(EmbeddedPostgres.make())
        const [name = ""] = templates(cache)
        rmSync(join(cache, name, "data", "global", "pg_control"))
        const pid = yield* Effect.scoped(Effect.flatMap(EmbeddedPostgres.make(), (cluster) => cluster.primary.pid))
        assert.isTrue(Option.isSome(pid))
        assert.isTrue(readdirSync(join(cache, name, "data", "global")).includes("pg_control"))
      })
    )
  )

  it.live("is not given up because of a wrong setting", () =>
    withCache((cache) =>
      Effect.gen(function* () {
        yield* Effect.scoped(EmbeddedPostgres.make())
        const [name = ""] = templates(cache)
        const error = yield* Effect.flip(Effect.scoped(EmbeddedPostgres.make({ settings: { work_mem: "plenty" } })))
        assert.strictEqual(error.reason, "StartFailed")
        assert.deepStrictEqual(templates(cache), [name])
      })
    )
  )

  it.live("is not looked for elsewhere, and nothing hangs, where the chosen cache cannot be made", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Effect.scoped(EmbeddedPostgres.make()))
      assert.strictEqual(error.reason, "DirectoryUnreachable")
      assert.include(error.description, "PLINTH_CACHE_DIR=/proc/plinth/cache cannot be made")
    }).pipe(Effect.withConfigProvider(provider("/proc/plinth/cache")), Effect.timeout("20 seconds"))
  )
})
