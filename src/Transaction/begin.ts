/**
 * The statements that open a transaction with its options.
 */
import * as Duration from "effect/Duration"
import type { Query } from "../internal/pg/Exchange.ts"
import type { TransactionOptions } from "../Transaction.ts"

const setLocal = (name: string, value: string): Query => ({
  text: "SELECT pg_catalog.set_config($1, $2, true)",
  params: [name, value]
})

/** PostgreSQL reads timeouts as whole milliseconds, and 0 as none. */
const milliseconds = (duration: Duration.DurationInput): string =>
  String(Math.max(1, Math.ceil(Duration.toMillis(duration))))

const plainBegin: ReadonlyArray<Query> = [{ text: "BEGIN", params: [] }]

/** BEGIN and what must hold from its first statement on. */
export const beginSteps = (options: TransactionOptions): ReadonlyArray<Query> =>
  options === defaults ? plainBegin : stepsOf(options)

/** Of a transaction that asks for nothing. */
export const defaults: TransactionOptions = {}

const stepsOf = (options: TransactionOptions): ReadonlyArray<Query> => {
  const begin = [
    "BEGIN",
    ...(options.isolation === undefined ? [] : [`ISOLATION LEVEL ${options.isolation.toUpperCase()}`]),
    ...(options.access === undefined ? [] : [options.access.toUpperCase()]),
    ...(options.deferrable === true ? ["DEFERRABLE"] : [])
  ].join(" ")
  return [
    { text: begin, params: [] },
    ...(options.role === undefined ? [] : [setLocal("role", options.role)]),
    ...(options.timeout === undefined ? [] : [setLocal("statement_timeout", milliseconds(options.timeout))]),
    ...(options.lockTimeout === undefined ? [] : [setLocal("lock_timeout", milliseconds(options.lockTimeout))]),
    ...Object.entries(options.settings ?? {}).map(([name, value]) => setLocal(name, value))
  ]
}
