/**
 * Plinth in a program that is not written in Effect: one `ManagedRuntime` for its whole life, closed on SIGTERM.
 *
 * `DATABASE_URL=.. npx tsx examples/runtime/main.ts` answers `GET /` with the number of relations.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import { Database, Transaction } from "effect-plinth"
import { createServer } from "node:http"

const runtime = ManagedRuntime.make(Database.layerConfig())

const Counted = Schema.Tuple(Schema.Struct({ count: Schema.NumberFromString }))

/** Takes as long as the request asks for, as real work would. */
const count = (seconds: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`SELECT pg_sleep(${seconds})`
    const [{ count }] = yield* Effect.flatMap(sql`SELECT count(*) FROM pg_class`, Schema.decodeUnknown(Counted))
    return count
  }).pipe(Transaction.run({ access: "read only", label: "count" }))

const server = createServer((request, response) => {
  const url = new URL(request.url ?? "/", "http://localhost")
  runtime.runPromise(count(Number(url.searchParams.get("seconds") ?? 0))).then(
    (count) => response.end(`${count}\n`),
    (error: unknown) => response.writeHead(503).end(`${String(error)}\n`)
  )
})

// The layers are built before the first request, so that a wrong URL ends the program and not a request.
await runtime.runtime()
server.listen(Number(process.env["PORT"] ?? 3000), "127.0.0.1", () => {
  const address = server.address()
  console.log(typeof address === "object" && address !== null ? `listening on ${address.port}` : "listening")
})

/** No new request, the running ones to their end, then the pools. Node exits by itself: nothing is left open. */
const drain = (): void => {
  server.close(() => void runtime.dispose())
}
process.once("SIGTERM", drain)
process.once("SIGINT", drain)
