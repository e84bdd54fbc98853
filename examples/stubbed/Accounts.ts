/**
 * A service on `@effect/sql`: opens and closes accounts.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { DatabaseError } from "effect-plinth"

export class EmailTaken extends Data.TaggedError("EmailTaken")<{ readonly email: string }> {}

export class Accounts extends Context.Tag("stubbed/Accounts")<
  Accounts,
  {
    readonly open: (
      email: string,
      name: string
    ) => Effect.Effect<void, EmailTaken | SqlError | DatabaseError.DatabaseError>
    /** Whether there was one to close. */
    readonly close: (email: string) => Effect.Effect<boolean, SqlError>
  }
>() {}

/** Both rows or none. */
export const layer: Layer.Layer<Accounts, never, SqlClient.SqlClient> = Layer.effect(
  Accounts,
  Effect.map(SqlClient.SqlClient, (sql) =>
    Accounts.of({
      open: (email, name) =>
        Effect.zipRight(
          sql`INSERT INTO customers ${sql.insert({ email, name, country: "GB" })}`,
          sql`INSERT INTO welcome_letters ${sql.insert({ email })}`
        ).pipe(
          sql.withTransaction,
          DatabaseError.catchReason("UniqueViolation", () => new EmailTaken({ email })),
          Effect.asVoid
        ),
      close: (email) =>
        Effect.map(
          sql`UPDATE customers SET closed_at = now() WHERE email = ${email} AND closed_at IS NULL RETURNING id`,
          (rows) => rows.length > 0
        )
    })
  )
)
