/**
 * One short-lived superuser session on a node, for what only SQL can ask of a server.
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"
import type { Endpoint } from "./Endpoint.ts"

export interface ControlSession {
  /** Runs one statement on this session's one connection and decodes its rows. */
  readonly rows: <A, I>(
    schema: Schema.Schema<A, I>,
    statement: string
  ) => Effect.Effect<ReadonlyArray<A>, EmbeddedPostgresError>
}

const describe = (cause: unknown): string => {
  const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause
  return inner instanceof Error ? inner.message : String(inner)
}

export const open = (
  node: Endpoint,
  operation: string
): Effect.Effect<ControlSession, EmbeddedPostgresError, Scope.Scope> => {
  const failed = (cause: unknown) =>
    new EmbeddedPostgresError({
      reason: "ControlFailed",
      operation,
      node: node.name,
      description: describe(cause),
      cause
    })
  return Effect.gen(function* () {
    const client = yield* PgClient.make({
      url: node.url,
      maxConnections: 1,
      connectTimeout: Duration.seconds(5),
      applicationName: "plinth-embedded"
    })
    // A reserved connection is never the one of a transaction that the caller happens to be in.
    const connection = yield* client.reserve
    return {
      rows: <A, I>(schema: Schema.Schema<A, I>, statement: string) =>
        connection
          .execute(statement, [], undefined)
          .pipe(Effect.flatMap(Schema.decodeUnknown(Schema.Array(schema))), Effect.mapError(failed))
    }
  }).pipe(Effect.provide(Reactivity.layer), Effect.mapError(failed))
}
