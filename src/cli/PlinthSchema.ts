/**
 * Makes the schema `plinth` in a database, under the migration lock, for commands that store something there without
 * migrating.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "../internal/PlinthSchema.ts"
import * as Lock from "../Migrator/Lock.ts"
import * as Session from "../Migrator/Session.ts"
import { narrate } from "./MigrationEvents.ts"

/** A migration may be under way, and is not worth waiting long for. */
const lockWait = Duration.minutes(1)

/** Brings the schema to the version of this release. */
export const install = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const emit = yield* narrate
  yield* Lock.acquire(sql.reserve, { wait: lockWait, owner: "plinth config", emit })
  const session = yield* Session.make(sql.reserve, Lock.workApplication)
  yield* Schema.install(session.connection)
}).pipe(Effect.scoped)
