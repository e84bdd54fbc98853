/**
 * Holds a history against what the router promises, in time linear in its length.
 *
 * Counters make it linear: every write of a key adds one, so the value names the version, and whether a read is older
 * than another is a comparison of numbers.
 */
import type { History, Observation, Operation } from "./Operation.ts"

export type Rule =
  /** A read of a session shows at least what the session has written and was told so. */
  | "read your writes"
  /** A read of a session shows at least what an earlier read of the session has shown. */
  | "monotonic reads"
  /** A write comes after everything that its session has seen. */
  | "writes follow reads"
  /** Counter and entries are written in one transaction, so a read shows both or neither. */
  | "one snapshot"
  /** A value that was read was written, by the one who says so, before the read ended. */
  | "only what was written"
  /** No two histories: a version of a key is written once. */
  | "one writer per version"
  /** What was acknowledged or seen is there at the end. */
  | "nothing is lost"
  /** What was rolled back is not there at the end. */
  | "what is undone stays undone"

export interface Violation {
  readonly rule: Rule
  readonly operation: Operation
  /** The operation that it contradicts, where it is one. */
  readonly against: Operation | undefined
  readonly detail: string
}

/** What a session knows of a key, and since which of its operations. */
interface Bound {
  readonly value: number
  readonly by: Operation
}

/** Violations in the order in which they came to light; none for a history that keeps every promise. */
export const check = (history: History): ReadonlyArray<Violation> => {
  const violations: Array<Violation> = []
  const report = (rule: Rule, operation: Operation, against: Operation | undefined, detail: string): void => {
    violations.push({ rule, operation, against, detail })
  }
  const byId = new Map(history.operations.map((operation) => [operation.id, operation]))
  checkSessions(history, report)
  const versions = checkVersions(history, byId, report)
  checkEnd(history, byId, versions, report)
  return violations
}

type Report = (rule: Rule, operation: Operation, against: Operation | undefined, detail: string) => void

const done = (operation: Operation): Observation | undefined =>
  operation.outcome._tag === "Done" ? operation.outcome.observation : undefined

/** Walks through the history in its order: an operation is bound by what had completed when it was invoked. */
const checkSessions = ({ operations }: History, report: Report): void => {
  const places: Array<Operation> = []
  for (const operation of operations) {
    places[operation.invoked.place] = operation
    places[operation.completed.place] = operation
  }
  const bounds = new Map<string, Bound>()
  const boundAtInvocation = new Map<number, Bound>()
  places.forEach((operation, place) => {
    const name = `${operation.session} ${operation.key}`
    const bound = bounds.get(name)
    if (place === operation.invoked.place) {
      if (bound !== undefined) boundAtInvocation.set(operation.id, bound)
      return
    }
    const observed = done(operation)
    if (observed === undefined) return
    const before = boundAtInvocation.get(operation.id)
    if (before !== undefined) checkBound(operation, observed, before, report)
    if (bound === undefined || observed.value > bound.value) bounds.set(name, { value: observed.value, by: operation })
  })
}

const checkBound = (operation: Operation, observed: Observation, before: Bound, report: Report): void => {
  if (operation.kind === "write") {
    if (observed.value <= before.value) {
      report("writes follow reads", operation, before.by, `it wrote ${observed.value} after ${before.value}`)
    }
  } else if (operation.level === "session" && observed.value < before.value) {
    const rule = before.by.kind === "write" ? "read your writes" : "monotonic reads"
    report(rule, operation, before.by, `it shows ${observed.value} after ${before.value}`)
  }
}

/** Who wrote a version of a key, and who says so. */
interface Version {
  readonly writer: number
  readonly toldBy: Operation
}

const versionName = (key: number, value: number): string => `${key} ${value}`

const checkVersions = (
  { operations }: History,
  byId: ReadonlyMap<number, Operation>,
  report: Report
): ReadonlyMap<string, Version> => {
  const versions = new Map<string, Version>()
  for (const operation of operations) {
    const observed = done(operation)
    if (observed === undefined) continue
    if (observed.entry !== observed.value) {
      report(
        "one snapshot",
        operation,
        undefined,
        `the counter is ${observed.value}, its entries end at ${observed.entry}`
      )
    }
    if (observed.value === 0) continue
    const { writer } = observed
    if (operation.kind === "read") checkWriter(operation, observed, byId, report)
    if (writer === undefined) continue
    const name = versionName(operation.key, observed.value)
    const known = versions.get(name)
    if (known === undefined) versions.set(name, { writer, toldBy: operation })
    else if (known.writer !== writer) {
      report(
        "one writer per version",
        operation,
        known.toldBy,
        `${writer} and ${known.writer} both wrote ${observed.value}`
      )
    }
  }
  return versions
}

const checkWriter = (
  read: Operation,
  observed: Observation,
  byId: ReadonlyMap<number, Operation>,
  report: Report
): void => {
  const write = observed.writer === undefined ? undefined : byId.get(observed.writer)
  const impossible =
    write === undefined || write.kind !== "write" || write.key !== read.key
      ? "nobody wrote it"
      : write.outcome._tag === "Undone"
        ? "it was rolled back"
        : write.invoked.place > read.completed.place
          ? "it was not written yet"
          : write.outcome._tag === "Done" && write.outcome.observation.value !== observed.value
            ? `the writer wrote ${write.outcome.observation.value}`
            : undefined
  if (impossible !== undefined)
    report("only what was written", read, write, `it shows ${observed.value}: ${impossible}`)
}

/** The entries on the primary, once everything has ended. */
const checkEnd = (
  { entries, operations }: History,
  byId: ReadonlyMap<number, Operation>,
  versions: ReadonlyMap<string, Version>,
  report: Report
): void => {
  const found = new Map(entries.map((entry) => [versionName(entry.key, entry.value), entry.writer]))
  for (const [name, { toldBy, writer }] of versions) {
    if (found.get(name) !== writer) {
      report("nothing is lost", toldBy, byId.get(writer), `at the end the primary has no entry of ${writer} for it`)
    }
  }
  const kept = new Set(entries.map((entry) => entry.writer))
  for (const operation of operations) {
    if (operation.kind === "write" && operation.outcome._tag === "Undone" && kept.has(operation.id)) {
      report("what is undone stays undone", operation, undefined, "at the end the primary has an entry of it")
    }
  }
}
