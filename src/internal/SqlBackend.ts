/**
 * What a client runs its statements on: one pool, or a router over several.
 */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type { Lease, PooledConnection, Restore } from "../ConnectionPool.ts"
import type { ConnectionTarget } from "../DatabaseConfig.ts"
import { DatabaseError } from "../DatabaseError.ts"
import type { Classification } from "../SqlClassifier.ts"
import { statements } from "../SqlText.ts"
import type { Query } from "./pg/Exchange.ts"
import type { Result } from "./pg/Result.ts"

/** What a connection is wanted for. */
export type Intent = { readonly access: "read only" | "read write" } | { readonly sql: string }

export interface SqlBackend {
  /** The node that writes go to, as configured. */
  readonly target: ConnectionTarget
  /** `host:port/database` of it. */
  readonly name: string
  /** Whether a session stays the same one for as long as its connection; behind a transaction pooler it does not. */
  readonly keepsSessions: boolean
  /** Whether a text may write something that a COMMIT, its own or a later one, makes last. */
  readonly mayWrite: (sql: string) => boolean
  /** Runs one statement outside of any transaction. Several results where the text holds several statements. */
  readonly run: (query: Query) => Effect.Effect<ReadonlyArray<Result>, DatabaseError>
  /** Runs statements as one transaction, in one network write. */
  readonly batch: (queries: ReadonlyArray<Query>) => Effect.Effect<ReadonlyArray<Result>, DatabaseError>
  /** Takes a connection, inside an uninterruptible region of which `restore` is the way out. */
  readonly lease: (intent: Intent, restore: Restore) => Effect.Effect<Lease, DatabaseError>
  /** How many connections the node for `read write` can give at most. */
  readonly capacity: Effect.Effect<number>
}

/** By a classifier: BEGIN, SET, FETCH and the like belong to a session and write nothing; EXECUTE may. */
export const mayWrite =
  (classify: (sql: string) => Classification) =>
  (sql: string): boolean => {
    const { class: kind } = classify(sql)
    if (kind !== "session") return kind !== "read"
    return statements(sql).some(({ text }) => {
      const { class: kind, reason } = classify(text)
      return kind === "session" ? reason === "EXECUTE" : kind !== "read"
    })
  }

/** Of statements that a pooled client refuses, why: they would change whatever runs on that connection next. */
export const refusal = (
  queries: ReadonlyArray<Query>,
  classify: (sql: string) => Classification,
  context: { readonly operation: "query" | "route"; readonly node: string }
): DatabaseError | undefined => {
  for (const { text } of queries) {
    const { class: kind, reason } = classify(text)
    if (kind !== "session") continue
    return new DatabaseError({
      reason: "SessionStatement",
      description: `the statement changes the state of a session (${reason}), and it would run on any connection of a pool`,
      ...context
    })
  }
  return undefined
}

/** Holds a connection until the scope closes. */
export const reserve = (
  backend: SqlBackend,
  intent: Intent
): Effect.Effect<PooledConnection, DatabaseError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(backend.lease(intent, restore), ({ connection, release }) =>
      Effect.flatMap(Effect.scope, (scope) => Effect.as(Scope.addFinalizer(scope, release), connection))
    )
  )
