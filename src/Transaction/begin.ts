/**
 * The statements that open a transaction with its options.
 */
import * as Duration from "effect/Duration"
import type { Query } from "../internal/pg/Exchange.ts"
import { escapeIdentifier, escapeLiteral } from "../internal/pg/driver.ts"
import type { BatchOptions, TransactionOptions } from "../Transaction.ts"

/** A transaction that asks for nothing. */
export const defaults: TransactionOptions = {}

export const commitStep: Query = { text: "COMMIT", params: [], prepare: true }

const plainBegin: ReadonlyArray<Query> = [{ text: "BEGIN", params: [], prepare: true }]

/** BEGIN and what must hold from its first statement on. Throws on a setting without a name. */
export const beginSteps = (options: TransactionOptions): ReadonlyArray<Query> =>
  options === defaults ? plainBegin : stepsOf(options)

/** Whether a transaction with these options is one that any statements are that share a Sync. */
export const isPlainBegin = ({ retry: _, ...options }: BatchOptions): boolean =>
  Object.values(options).every((value) => value === undefined)

const stepsOf = (options: TransactionOptions): ReadonlyArray<Query> => {
  const begin = [
    "BEGIN",
    ...(options.isolation === undefined ? [] : [`ISOLATION LEVEL ${options.isolation.toUpperCase()}`]),
    ...(options.access === undefined ? [] : [options.access.toUpperCase()]),
    ...(options.deferrable === true ? ["DEFERRABLE"] : [])
  ].join(" ")
  return [
    { text: begin, params: [], prepare: true },
    ...(options.role === undefined ? [] : [setLocal("role", options.role)]),
    ...(options.timeout === undefined ? [] : [setLocal("statement_timeout", milliseconds(options.timeout))]),
    ...(options.lockTimeout === undefined ? [] : [setLocal("lock_timeout", milliseconds(options.lockTimeout))]),
    ...Object.entries(options.settings ?? {}).map(([name, value]) => setLocal(name, value))
  ]
}

/**
 * SET takes no parameters, but set_config() is a query: it would take the snapshot of a repeatable read before the
 * transaction has its locks.
 */
export const setLocal = (name: string, value: string): Query => ({
  text: `SET LOCAL ${name.split(".").map(escapeIdentifier).join(".")} TO ${valuesOf(name, value).map(escapeLiteral).join(", ")}`,
  params: [],
  prepare: false
})

/** Settings whose value is a list of names; one literal would be one name with commas in it. */
const lists: ReadonlySet<string> = new Set(["search_path", "temp_tablespaces"])

const valuesOf = (name: string, value: string): ReadonlyArray<string> =>
  lists.has(name.toLowerCase()) ? value.split(",").map((item) => item.trim().replace(/^"(.*)"$/, "$1")) : [value]

/** The largest that PostgreSQL takes: 24 days. */
const maxMilliseconds = 2_147_483_647

/** PostgreSQL reads timeouts as whole milliseconds, and 0 as none. */
const milliseconds = (duration: Duration.DurationInput): string =>
  String(Math.min(Math.max(1, Math.ceil(Duration.toMillis(duration))), maxMilliseconds))
