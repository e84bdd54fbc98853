/**
 * Turns what the database reports into a `MigrationError` that says where it happened and what to do.
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Predicate from "effect/Predicate"
import * as DatabaseErrors from "../DatabaseError.ts"
import type { DatabaseError } from "../DatabaseError.ts"
import type { Blocker } from "./Event.ts"
import { describeBlocker } from "./Event.ts"
import { excerpt, offsetOfPosition, placeOf } from "./Excerpt.ts"
import type { MigrationFile, Script, Statement } from "./MigrationFile.ts"
import type { Reason } from "./MigrationError.ts"
import { MigrationError } from "./MigrationError.ts"

/** What a run had done when something failed. */
export interface Sofar {
  readonly id: string
  /** In words; `undefined` when nothing of the migration stays. */
  readonly progress?: string | undefined
}

const connectionAdvice =
  "run again as soon as the server answers: what was committed is in the history, and the run goes on after it"

const classify = (database: DatabaseError, otherwise: string): { readonly reason: Reason; readonly advice: string } => {
  if (database.isConnectionFailure || database.reason === "AcquireTimeout") {
    return { reason: "ConnectionFailed", advice: connectionAdvice }
  }
  switch (database.reason) {
    case "InsufficientPrivilege":
      return { reason: "InsufficientPrivilege", advice: "run as a role that may do this, or grant it to this one" }
    case "ReadOnly":
      return { reason: "ReadOnlyServer", advice: "connect to the primary" }
    case "DiskFull":
      return {
        reason: "StatementFailed",
        advice: "free space on the server's disk and run again: what was committed stays, and the run goes on after it"
      }
    case "LockTimeout":
      return { reason: "LockTimeout", advice: otherwise }
    default:
      return { reason: "StatementFailed", advice: otherwise }
  }
}

/** The server's own words, where it could say why it ended the connection. */
const describe = (database: DatabaseError): string =>
  database.isConnectionFailure && database.sqlState === undefined
    ? `the connection was lost (${database.description})`
    : database.description

/** A step of the migrator itself failed: reading the history, BEGIN, COMMIT. */
export const ofStep = (step: string, error: SqlError, sofar?: Sofar): MigrationError => {
  const database = DatabaseErrors.from(error)
  return new MigrationError({
    ...classify(database, "correct the cause and run again"),
    description: `${step} failed: ${describe(database)}`,
    migration: sofar?.id,
    progress: sofar?.progress,
    database,
    cause: database
  })
}

/** The history cannot be read by this role. */
export const ofHistory = (error: SqlError): MigrationError => {
  const failure = ofStep("reading the history", error)
  return failure.reason === "InsufficientPrivilege"
    ? new MigrationError({
        ...failure,
        advice: "GRANT USAGE ON SCHEMA plinth and GRANT SELECT ON ALL TABLES IN SCHEMA plinth to this role"
      })
    : failure
}

/** A statement of a script failed. */
export const ofStatement = (script: Script, statement: Statement, error: SqlError, sofar: Sofar): MigrationError => {
  const database = DatabaseErrors.from(error)
  const offset =
    statement.offset + (database.position === undefined ? 0 : offsetOfPosition(statement.text, database.position))
  const otherwise =
    sofar.progress === undefined
      ? "correct the file and run again; nothing of this migration was kept"
      : "correct this statement or those after it and run again; the ones before it stay as they are"
  return new MigrationError({
    ...classify(database, adviceOf(database) ?? otherwise),
    description: describe(database),
    migration: sofar.id,
    location: { file: script.file, ...placeOf(script.text, offset) },
    excerpt: excerpt(script.text, offset),
    statement: statement.text,
    progress: sofar.progress,
    database,
    cause: database
  })
}

/** Where the server's message does not say what helps. */
const adviceOf = (database: DatabaseError): string | undefined => {
  switch (database.sqlState) {
    case "25001":
      return "put -- plinth: no-transaction at the head of the file, and run again; nothing of this migration was kept"
    case "2D000":
      return "a procedure that commits needs -- plinth: no-transaction at the head of the file"
    case "55P04":
      return "a new enum value can be used only after its commit: use it in a migration of its own"
    default:
      return undefined
  }
}

/** The program of a migration failed. */
export const ofCode = (file: string, cause: unknown, sofar: Sofar): MigrationError => {
  const database = Predicate.hasProperty(cause, "cause") ? DatabaseErrors.from(cause) : undefined
  const known = database?.reason === "Unknown" ? undefined : database
  return new MigrationError({
    ...(known === undefined
      ? { reason: "CodeFailed" as const, advice: "correct the file and run again; nothing of this migration was kept" }
      : classify(known, "correct the file and run again; nothing of this migration was kept")),
    description: `${file} failed: ${known?.description ?? (cause instanceof Error ? cause.message : String(cause))}`,
    migration: sofar.id,
    database: known,
    cause: known ?? cause
  })
}

/** Every try met somebody who holds the lock. */
export const ofBlockers = (error: MigrationError, blockers: ReadonlyArray<Blocker>): MigrationError => {
  const [blocker] = blockers
  const who = blockers.map(describeBlocker).join("; ")
  return new MigrationError({
    ...error,
    description: `no lock in every try, so that others never waited long${who === "" ? "" : `; blocked by ${who}`}`,
    advice:
      blocker === undefined || blocker.pid === 0
        ? "run again at a quieter time, or allow longer waits with -- plinth: lock-timeout=10s"
        : `let that transaction end, or end it with SELECT pg_terminate_backend(${blocker.pid}), and run again`
  })
}

/** There is no way back. */
export const irreversible = ({ file, id, up }: Pick<MigrationFile, "file" | "id" | "up">): MigrationError =>
  new MigrationError({
    reason: "Irreversible",
    migration: id,
    description: `${file} says nothing about how to take it back`,
    advice:
      up._tag === "Script"
        ? "write a down section or a .down.sql file, or correct forward with a new migration"
        : `write ${file.replace(/\.\w+$/, ".down.sql")} beside it, or correct forward with a new migration; the next program may pass a down to Migration.make, and an applied one must not be edited`
  })
