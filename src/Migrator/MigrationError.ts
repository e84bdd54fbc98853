/**
 * The failure of a migration: what happened, in which file and where, what PostgreSQL said, and what to do about it.
 */
import * as Data from "effect/Data"
import type { DatabaseError } from "../DatabaseError.ts"

/**
 * Why a migration failed; the only field to branch on.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason =
  // files
  | "InvalidSource"
  | "InvalidDirective"
  | "UnsupportedStatement"
  | "ImportFailed"
  | "UnknownMigration"
  // files against history
  | "Edited"
  | "Missing"
  | "Renamed"
  | "OutOfOrder"
  | "DependencyMissing"
  | "Irreversible"
  | "HalfReverted"
  // the run
  | "LockUnavailable"
  | "LockLost"
  | "LockTimeout"
  | "StatementFailed"
  | "CodeFailed"
  // the server
  | "ConnectionFailed"
  | "InsufficientPrivilege"
  | "ReadOnlyServer"
  | "NewerSchema"

/**
 * Where in which file; line and column count from 1.
 *
 * @since 0.1.0
 * @category models
 */
export interface Location {
  readonly file: string
  readonly line: number
  readonly column: number
}

/**
 * @since 0.1.0
 * @category errors
 */
export class MigrationError extends Data.TaggedError("MigrationError")<{
  readonly reason: Reason
  /** What happened, as one sentence without a full stop. */
  readonly description: string
  /** What to do about it, as a sentence without a full stop. */
  readonly advice: string
  /** The id of the migration it is about. */
  readonly migration?: string | undefined
  readonly location?: Location | undefined
  /** The lines around the place, with a caret under it. */
  readonly excerpt?: string | undefined
  /** The whole statement that failed. */
  readonly statement?: string | undefined
  /** The difference between what was applied and the file. */
  readonly diff?: string | undefined
  /** What was done before it and stays, and where the next run goes on. */
  readonly progress?: string | undefined
  /** What PostgreSQL or the connection reported. */
  readonly database?: DatabaseError | undefined
  readonly cause?: unknown
}> {
  override get message(): string {
    const { advice, database, description, diff, excerpt, location, migration, progress } = this
    const place =
      location !== undefined
        ? `${location.file}:${location.line}:${location.column}: `
        : migration !== undefined
          ? `${migration}: `
          : ""
    const code = database?.sqlState === undefined ? "" : ` (SQLSTATE ${database.sqlState})`
    return [
      `${place}${description}${code}`,
      excerpt,
      diff,
      labelled("detail", database?.detail),
      labelled("hint", database?.hint),
      labelled("context", database?.where),
      labelled("so far", progress),
      `what to do: ${advice}`
    ]
      .filter((part) => part !== undefined)
      .join("\n")
  }
}

const labelled = (label: string, text: string | undefined): string | undefined =>
  text === undefined ? undefined : `${label}: ${text}`
