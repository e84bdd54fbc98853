/**
 * The one table from SQLSTATE to reason.
 *
 * @see https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
import { policy } from "./reasons.ts"
import type { Reason } from "./reasons.ts"

const byCode: ReadonlyMap<string, Reason> = new Map<string, Reason>([
  ["08001", "ConnectionRefused"],
  ["08004", "ConnectionRefused"],
  ["08007", "CommitInDoubt"],
  ["08P01", "ProtocolViolation"],
  ["23001", "ForeignKeyViolation"],
  ["23502", "NotNullViolation"],
  ["23503", "ForeignKeyViolation"],
  ["23505", "UniqueViolation"],
  ["23P01", "ExclusionViolation"],
  ["25006", "ReadOnly"],
  ["25P02", "TransactionAborted"],
  ["25P03", "IdleInTransactionTimeout"],
  ["25P04", "TransactionTimeout"],
  ["40001", "SerializationFailure"],
  ["40002", "CheckViolation"],
  ["40003", "CommitInDoubt"],
  ["40P01", "DeadlockDetected"],
  ["42501", "InsufficientPrivilege"],
  ["42701", "DuplicateObject"],
  ["42703", "UndefinedObject"],
  ["42704", "UndefinedObject"],
  ["42710", "DuplicateObject"],
  ["42723", "DuplicateObject"],
  ["42883", "UndefinedObject"],
  ["42P01", "UndefinedObject"],
  ["42P02", "UndefinedObject"],
  ["42P03", "DuplicateObject"],
  ["42P04", "DuplicateObject"],
  ["42P05", "DuplicateObject"],
  ["42P06", "DuplicateObject"],
  ["42P07", "DuplicateObject"],
  ["53100", "DiskFull"],
  ["53200", "OutOfMemory"],
  ["53300", "TooManyConnections"],
  ["55006", "ObjectInUse"],
  ["55P03", "LockTimeout"],
  ["57P01", "AdminShutdown"],
  ["57P02", "AdminShutdown"],
  ["57P03", "CannotConnectNow"],
  ["57P04", "AdminShutdown"],
  ["57P05", "ConnectionLost"],
  ["XX001", "DataCorrupted"],
  ["XX002", "DataCorrupted"]
])

/** What the first two characters say where the code itself is not listed, so that a new server's codes are classed. */
const byClass: ReadonlyMap<string, Reason> = new Map<string, Reason>([
  ["03", "InvalidState"],
  ["08", "ConnectionLost"],
  ["09", "InvalidState"],
  ["0A", "Unsupported"],
  ["0B", "InvalidState"],
  ["0L", "InsufficientPrivilege"],
  ["0P", "InsufficientPrivilege"],
  ["20", "InvalidData"],
  ["21", "InvalidData"],
  ["22", "InvalidData"],
  ["23", "CheckViolation"],
  ["24", "InvalidState"],
  ["25", "InvalidState"],
  ["26", "UndefinedObject"],
  ["27", "InvalidState"],
  ["28", "AuthenticationFailed"],
  ["2B", "ObjectInUse"],
  ["2D", "InvalidState"],
  ["34", "UndefinedObject"],
  ["3B", "InvalidState"],
  ["3D", "UndefinedObject"],
  ["3F", "UndefinedObject"],
  ["40", "TransactionAborted"],
  ["42", "SyntaxError"],
  ["44", "CheckViolation"],
  ["53", "LimitExceeded"],
  ["54", "LimitExceeded"],
  ["55", "InvalidState"],
  ["57", "QueryCanceled"],
  ["72", "TransactionAborted"],
  ["HV", "ForeignServer"],
  ["P0", "RaisedException"]
])

/** The reason of a SQLSTATE: by code, else by class, else `Unknown`. */
export const reasonOfSqlState = (sqlState: string): Reason =>
  byCode.get(sqlState) ?? byClass.get(sqlState.slice(0, 2)) ?? "Unknown"

/** What a server's report says beyond its code. */
export interface ServerReport {
  readonly sqlState: string
  readonly message: string
  /** The C function that raised it; the same in every language, unlike the message. */
  readonly routine?: string | undefined
}

const inRecoveryConflict = (report: ServerReport): boolean =>
  report.message.includes("conflict with recovery") ||
  // A real serialization failure is never raised while interrupts are processed.
  (report.sqlState === "40001" && /^Process(Interrupts|RecoveryConflictInterrupts?)$/.test(report.routine ?? ""))

/**
 * postgres_fdw and dblink pass the SQLSTATE of the other server on. A backend that still talks to us has not lost our
 * connection either, so class 08 from one (it names its routine, a pooler does not) is about somebody else's.
 */
const isForeign = ({ routine, sqlState }: ServerReport): boolean =>
  routine !== undefined &&
  (/^(pgfdw|dblink)_|^connect_pg_server$/.test(routine) || (sqlState.startsWith("08") && sqlState !== "08P01"))

/** pgbouncer answers nearly everything with 08P01. https://www.pgbouncer.org/faq.html and its `disconnect_client` calls */
const ofPooler: ReadonlyArray<readonly [pattern: RegExp, reason: Reason]> = [
  [/no more connections allowed|query_wait_timeout/, "TooManyConnections"],
  [/server_login_retry|cannot connect|login has been failed|server login failed|connect failed/, "ConnectionRefused"],
  [/pooler is shut ?down|pgbouncer .*shut|database is (disabled|paused)/, "CannotConnectNow"],
  [/server conn(ection)? (crashed|closed)|server (closed|disconnect)/, "ConnectionLost"],
  [/no such (database|user)|password|not allowed/, "AuthenticationFailed"],
  [/SSL required/, "TlsFailed"]
]

/** The reason of a whole report: the code, refined where one code stands for situations that callers treat apart. */
export const reasonOfReport = (report: ServerReport): Reason => {
  if (inRecoveryConflict(report)) return "RecoveryConflict"
  if (isForeign(report) && policy(reasonOfSqlState(report.sqlState)).connection) return "ForeignServer"
  if (report.sqlState === "57014") {
    if (report.message.includes("statement timeout")) return "StatementTimeout"
    return report.message.includes("lock timeout") ? "LockTimeout" : "QueryCanceled"
  }
  if (report.sqlState === "08P01") {
    return ofPooler.find(([pattern]) => pattern.test(report.message))?.[1] ?? "ProtocolViolation"
  }
  return reasonOfSqlState(report.sqlState)
}
