/**
 * What an error says to the person at the terminal: one paragraph, the statement with a caret where there is one, and the
 * exit code.
 */
import * as DatabaseErrors from "../DatabaseError.ts"
import * as Cause from "effect/Cause"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Exit from "./Exit.ts"
import { CommandError, Finished, sentence } from "./Exit.ts"
import { isMissing } from "./MissingDatabase.ts"

/** A failure, in words. */
export interface Failure {
  /** The tag of the error, for programs. */
  readonly error: string
  /** Its closed reason, where it has one. */
  readonly reason: string | undefined
  readonly message: string
  readonly code: number
  /** Every cause and stack, for `--debug`. */
  readonly trace: string
}

/** Why a command ended; nothing when it has said so itself or was interrupted. */
export const of = (cause: Cause.Cause<unknown>): Option.Option<Failure> => {
  if (Cause.isInterruptedOnly(cause)) return Option.none()
  const trace = Cause.pretty(cause, { renderErrorCause: true })
  const expected = Cause.failureOption(cause)
  if (Option.isSome(expected)) {
    return expected.value instanceof Finished ? Option.none() : Option.some({ ...describe(expected.value), trace })
  }
  const defect = Option.getOrUndefined(Cause.dieOption(cause))
  const message = defect instanceof Error ? `${defect.name}: ${defect.message}` : String(defect)
  return Option.some({
    error: "Defect",
    reason: undefined,
    message: `Plinth has a bug: ${message}. Nothing is known about what it left behind; run it again with --debug and report the output.`,
    code: Exit.failed,
    trace
  })
}

const describe = (error: unknown): Omit<Failure, "trace"> => {
  const reason = Predicate.hasProperty(error, "reason") && typeof error.reason === "string" ? error.reason : undefined
  const tag = Predicate.hasProperty(error, "_tag") && typeof error._tag === "string" ? error._tag : "Error"
  if (error instanceof CommandError) return { error: tag, reason, message: error.message, code: error.code }
  switch (tag) {
    case "DatabaseError":
    case "SqlError": {
      const databaseError = DatabaseErrors.from(error)
      return {
        error: databaseError._tag,
        reason: databaseError.reason,
        message: [sentence(databaseError.message), adviceOf(databaseError)].filter((part) => part !== "").join(" "),
        code: Exit.failed
      }
    }
    case "DatabaseConfigError":
      // On the command line an option is written with its dashes.
      return { error: tag, reason, message: sentence(asWritten(messageOf(error))), code: Exit.usage }
    default:
      return { error: tag, reason, message: sentence(messageOf(error)), code: codeOf(tag, reason) }
  }
}

/** What this program can do about it, where the error itself has no advice. */
const adviceOf = (error: DatabaseErrors.DatabaseError): string =>
  isMissing(error) ? "Check the URL, or create it: `plinth setup --create-database`" : ""

/** The codes of errors that are not plain failures. */
export const codeOf = (tag: string, reason: string | undefined): number => {
  switch (tag) {
    case "HealthMonitorError":
      return Exit.usage
    case "EmbeddedPostgresError":
      return reason === "BinariesMissing" || reason === "BinariesUnusable" ? Exit.usage : Exit.failed
    case "MigrationError":
      return migrationCodes[reason ?? ""] ?? Exit.failed
    default:
      return Exit.failed
  }
}

const migrationCodes: Readonly<Record<string, number>> = {
  InvalidSource: Exit.usage,
  InvalidDirective: Exit.usage,
  UnknownMigration: Exit.usage,
  OutOfOrder: Exit.outOfOrder,
  Edited: Exit.drift,
  Missing: Exit.drift,
  Renamed: Exit.drift
}

const asWritten = (message: string): string =>
  message
    .replace(/^option url(?=:)/, "--url")
    .replace(/^option replicaUrls \(from replicaUrls (\d+)\)/, "--replica-url (number $1)")

const messageOf = (error: unknown): string =>
  Predicate.hasProperty(error, "message") && typeof error.message === "string" && error.message !== ""
    ? error.message
    : String(error)
