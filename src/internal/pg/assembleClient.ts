/**
 * Joins a statement constructor and the members of a client into the one object that `PgClient` is.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Constructor } from "@effect/sql/Statement"

export interface Members extends Omit<
  PgClient.PgClient,
  keyof Constructor | "safe" | "withoutTransforms" | SqlClient.TypeId | PgClient.TypeId
> {
  readonly withoutTransforms: (self: PgClient.PgClient) => PgClient.PgClient
}

export const assembleClient = (statements: Constructor, members: Members): PgClient.PgClient => {
  // `safe` is the client itself, which no literal can say before the client exists.
  const client = Object.assign(statements, members, {
    [SqlClient.TypeId]: SqlClient.TypeId,
    [PgClient.TypeId]: PgClient.TypeId,
    withoutTransforms: (): PgClient.PgClient => members.withoutTransforms(client)
  }) as unknown as PgClient.PgClient
  return Object.assign(client, { safe: client })
}
