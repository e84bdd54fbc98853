/**
 * Reads what the driver throws: a server's report, a socket's failure, or an error of the driver itself.
 */
import * as Predicate from "effect/Predicate"
import type { Reason } from "./reasons.ts"
import { reasonOfReport } from "./sqlState.ts"
import { maskCredentials, maskValues } from "./mask.ts"

/** The parts of a `DatabaseError` that an unknown error yields. */
export interface Reading {
  readonly reason: Reason
  readonly description: string
  readonly sqlState?: string | undefined
  readonly severity?: string | undefined
  readonly constraint?: string | undefined
  readonly schema?: string | undefined
  readonly table?: string | undefined
  readonly column?: string | undefined
  readonly detail?: string | undefined
  readonly hint?: string | undefined
  readonly where?: string | undefined
  readonly position?: number | undefined
  readonly cause?: unknown
}

const text = (error: object, key: string): string | undefined => {
  if (!Predicate.hasProperty(error, key)) return undefined
  const value = error[key]
  return typeof value === "string" && value.length > 0 ? value : undefined
}

/** Failures of establishing and of keeping a connection share codes; the operation tells them apart. */
const ofSystemCode = (code: string, operation: string): Reason | undefined => {
  switch (code) {
    case "ECONNREFUSED":
    case "ENOTFOUND":
    case "EAI_AGAIN":
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "EADDRNOTAVAIL":
    case "ENOENT":
    case "EACCES":
      return "ConnectionRefused"
    case "ETIMEDOUT":
      return operation === "connect" ? "ConnectionRefused" : "ConnectionLost"
    case "ECONNRESET":
    case "ECONNABORTED":
    case "EHOSTDOWN":
    case "ENETDOWN":
    case "ENOTCONN":
    case "EPIPE":
    case "ERR_STREAM_DESTROYED":
    case "ERR_STREAM_WRITE_AFTER_END":
    case "ERR_STREAM_PREMATURE_CLOSE":
      return "ConnectionLost"
    case "EPROTO":
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "HOSTNAME_MISMATCH":
      return "TlsFailed"
    default:
      return /^(ERR_TLS_|ERR_SSL_|ERR_OSSL_|CERT_|CRL_)/.test(code) ? "TlsFailed" : undefined
  }
}

/** Errors of node-postgres 8.23 and pg-pool 3 that carry no code at all. */
const ofDriverMessage: ReadonlyArray<readonly [pattern: RegExp, reason: Reason]> = [
  [/^timeout expired$|^Connection terminated due to connection timeout/, "ConnectionRefused"],
  [/^timeout exceeded when trying to connect$/, "AcquireTimeout"],
  [/^Cannot use a pool after calling end|^Called end on pool/, "PoolClosed"],
  [/^Connection terminated|^Client was closed|^Client has encountered a connection error/, "ConnectionLost"],
  [/socket hang up|socket has been ended|write after end/, "ConnectionLost"],
  [/^Client network socket disconnected before secure TLS/, "ConnectionLost"],
  [/does not support SSL|establishing an SSL connection|certificate|sslnegotiation/, "TlsFailed"],
  [/^Query read timeout$/, "StatementTimeout"],
  [/^SASL|^Password must be a string|password authentication|authenticationOk/, "AuthenticationFailed"],
  [/^Received unexpected|^received invalid response|Binary mode not supported/, "ProtocolViolation"]
]

/** `AggregateError` (several addresses of one name) has an empty message and tells the story in its parts. */
const messageOf = (error: unknown): string => {
  if (typeof error === "string") return error
  if (!Predicate.isObject(error)) return "an error without a message"
  const parts = Predicate.hasProperty(error, "errors") && Array.isArray(error.errors) ? error.errors : []
  return (
    text(error, "message") ??
    (parts.length > 0 ? parts.map(messageOf).join("; ") : undefined) ??
    text(error, "code") ??
    "an error without a message"
  )
}

/**
 * Node's own codes (`EPIPE`) can look like a SQLSTATE: most of its errors have a `syscall`, and a write to a socket that
 * the server has ended has none. No class of SQLSTATE begins with E.
 */
const sqlStateOf = (error: object): string | undefined => {
  const code = text(error, "code")
  if (code === undefined || !/^[0-9A-DF-Z][0-9A-Z]{4}$/.test(code)) return undefined
  return Predicate.hasProperty(error, "syscall") || Predicate.hasProperty(error, "errno") ? undefined : code
}

/**
 * A report of the server. It is taken over into fields and not kept as `cause`: its message, `detail` and `where` quote
 * rows and parameters, and loggers print causes.
 */
const readServer = (error: object, sqlState: string): Reading => {
  const message = messageOf(error)
  const position = Number(text(error, "position"))
  return {
    reason: reasonOfReport({ sqlState, message, routine: text(error, "routine") }),
    description: maskCredentials(maskValues(sqlState, message)),
    sqlState,
    severity: text(error, "severity"),
    constraint: text(error, "constraint"),
    schema: text(error, "schema"),
    table: text(error, "table"),
    column: text(error, "column"),
    detail: text(error, "detail"),
    hint: text(error, "hint"),
    where: text(error, "where"),
    position: Number.isInteger(position) && position > 0 ? position : undefined
  }
}

const reasonOfDriver = (error: unknown, message: string, operation: string): Reason => {
  const code = Predicate.isObject(error) ? text(error, "code") : undefined
  const known = code === undefined ? undefined : ofSystemCode(code, operation)
  return known ?? ofDriverMessage.find(([pattern]) => pattern.test(message))?.[1] ?? "Unknown"
}

/** Reads any thrown value. */
export const read = (error: unknown, operation: string): Reading => {
  const sqlState = Predicate.isObject(error) ? sqlStateOf(error) : undefined
  if (Predicate.isObject(error) && sqlState !== undefined) return readServer(error, sqlState)
  const message = messageOf(error)
  const description = maskCredentials(message)
  return {
    reason: reasonOfDriver(error, message, operation),
    description,
    // A cause that says a secret is dropped: loggers print causes.
    cause: description === message ? error : undefined
  }
}
