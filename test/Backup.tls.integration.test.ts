import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, layer, vi } from "@effect/vitest"
import type { Backup } from "effect-plinth"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { execFileSync, spawnSync } from "node:child_process"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { rows, service, temporary } from "./support/backups.ts"

vi.setConfig({ testTimeout: 120_000 })

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0

/** A server that speaks TLS with a certificate of its own making, for 127.0.0.1. */
const setUp = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const directory = yield* temporary
  const [key, certificate] = [join(directory, "server.key"), join(directory, "server.crt")]
  const name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
  const request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2"]
  execFileSync("openssl", [...request, ...name], { stdio: "ignore" })
  const { dataDirectory, url } = yield* EmbeddedPostgres.make()
  const { gid, uid } = yield* fs.stat(dataDirectory)
  for (const file of [key, certificate]) yield* fs.chown(file, Option.getOrThrow(uid), Option.getOrThrow(gid))
  yield* fs.chmod(key, 0o600)
  yield* rows(url, `ALTER SYSTEM SET ssl_key_file = '${key}'`)
  yield* rows(url, `ALTER SYSTEM SET ssl_cert_file = '${certificate}'`)
  yield* rows(url, "ALTER SYSTEM SET ssl = on")
  yield* rows(url, "SELECT pg_reload_conf()")
  yield* rows(url, "SHOW ssl").pipe(
    Effect.filterOrFail(([row]) => row?.["ssl"] === "on"),
    Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo("10 seconds")))
  )
  const over = (parameters: string) => Redacted.make(`${Redacted.value(url).replace(/\?.*/, "")}?${parameters}`)
  return { url, over, certificate, store: join(directory, "store") }
})

const senders = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE backend_type = 'walsender'"

layer(NodeContext.layer, { excludeTestServices: true })("a backup over TLS", (it) => {
  it.scoped("is encrypted on its way, cancelled through TLS, and checks the certificate it is told to", (context) =>
    Effect.gen(function* () {
      if (!hasOpenssl) return context.skip("openssl is not installed, and it makes the certificate")
      const { certificate, over, store, url } = yield* setUp
      const backup = yield* service(store, { url: over(`sslmode=verify-full&sslrootcert=${certificate}`) })

      const reached = yield* Deferred.make<void>()
      const onProgress: Backup.OnProgress = ({ bytes, phase }) =>
        phase === "copy" && bytes > 0
          ? Effect.zipRight(Deferred.succeed(reached, undefined), Effect.never)
          : Effect.void
      const running = yield* Effect.fork(backup.create({ onProgress }))
      yield* Effect.raceFirst(Deferred.await(reached), Fiber.join(running))
      assert.deepStrictEqual(yield* rows(url, senders), [{ ssl: true }])
      yield* Fiber.interrupt(running)
      assert.deepStrictEqual(readdirSync(store), [])
      yield* rows(url, senders).pipe(
        Effect.filterOrFail((left) => left.length === 0),
        Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo("10 seconds")))
      )

      yield* backup.create()
      assert.isTrue((yield* backup.verify("latest")).ok)

      const distrustful = yield* service(store, { url: over("sslmode=verify-full") })
      const error = yield* Effect.flip(distrustful.create())
      assert.strictEqual(error.reason, "Unreachable")
      assert.match(error.message, /certificate/)
    })
  )
})
