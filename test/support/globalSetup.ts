/**
 * Starts one throw-away cluster (primary and two replicas) for the whole test run and tells the workers by variables,
 * as `TestDatabase` reads them. With PLINTH_TEST_URL set by the caller, that server is used instead.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { make } from "../../src/embedded/EmbeddedPostgres.ts"

export default async (): Promise<() => Promise<void>> => {
  if (process.env["PLINTH_TEST_URL"] !== undefined) return () => Promise.resolve()
  const scope = Effect.runSync(Scope.make())
  const close = () => Effect.runPromise(Scope.close(scope, Exit.void))
  const cluster = await Effect.runPromise(Scope.extend(make({ replicas: 2 }), scope)).catch(async (cause: unknown) => {
    await close()
    throw cause
  })
  process.env["PLINTH_TEST_URL"] = Redacted.value(cluster.url)
  process.env["PLINTH_TEST_REPLICA_URLS"] = cluster.replicaUrls.map(Redacted.value).join(",")
  return close
}
