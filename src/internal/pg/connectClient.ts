/**
 * A node-postgres client that is connected, or no socket at all.
 */
import * as Effect from "effect/Effect"
import * as Pg from "pg"
import type { DatabaseError } from "../../DatabaseError.ts"
import { fromUnknown } from "../../DatabaseError.ts"
import { writerOf } from "./driver.ts"

/** Connects. Interruption and failure leave no socket behind; `node` is `host:port/database` for errors. */
export const connectClient = (config: Pg.ClientConfig, node: string): Effect.Effect<Pg.Client, DatabaseError> =>
  Effect.async<Pg.Client, DatabaseError>((resume) => {
    const client = new Pg.Client(config)
    // A socket that fails after connect() has reported its error, or under a command that reports it, must not crash
    // the process.
    client.on("error", () => {})
    client.connect((error: Error | null | undefined) => {
      if (error === null || error === undefined) return resume(Effect.succeed(client))
      writerOf(client.connection).stream.destroy()
      resume(Effect.fail(fromUnknown(error, { operation: "connect", node })))
    })
    return Effect.sync(() => writerOf(client.connection).stream.destroy())
  })
