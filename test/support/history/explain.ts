/**
 * Says what went wrong in as few lines as a person needs.
 */
import type { Violation } from "./check.ts"
import type { Operation } from "./Operation.ts"
import type { Incident } from "./Recorder.ts"

/** Incidents this long before a violation are part of its story. */
const relevantMillis = 2_000

/** The first violation, what it contradicts, what its session did in between, and what the servers went through. */
export const explain = (
  violations: ReadonlyArray<Violation>,
  operations: ReadonlyArray<Operation>,
  incidents: ReadonlyArray<Incident>,
  seed: number
): string => {
  const [first] = violations
  if (first === undefined) return "no violation"
  const { against, detail, operation, rule } = first
  const from = Math.min(operation.invoked.place, against?.completed.place ?? operation.invoked.place)
  const between = operations.filter(
    (other) =>
      other !== operation &&
      other !== against &&
      other.session === operation.session &&
      other.completed.place >= from &&
      other.invoked.place <= operation.completed.place
  )
  const since = Math.min(operation.invoked.millis, against?.invoked.millis ?? operation.invoked.millis) - relevantMillis
  return [
    `${violations.length} violations; the first is of "${rule}": ${detail}`,
    ...(against === undefined ? [] : [`  contradicts  ${describe(against)}`]),
    ...between.slice(-8).map((other) => `  meanwhile    ${describe(other)}`),
    `  violates     ${describe(operation)}`,
    ...incidents
      .filter(({ millis }) => millis >= since && millis <= operation.completed.millis)
      .map(({ millis, text }) => `  incident     +${millis} ms ${text}`),
    `  seed         ${seed}`
  ].join("\n")
}

const describe = ({ completed, how, id, invoked, key, kind, level, outcome, session }: Operation): string => {
  const result =
    outcome._tag === "Done"
      ? `${outcome.observation.value} (by #${outcome.observation.writer ?? 0}) on ${outcome.observation.node}`
      : outcome._tag === "Undone"
        ? "undone"
        : "unknown"
  const weak = level === "eventual" ? " eventual" : ""
  return `#${id} ${session}${weak} ${kind} of ${key} (${how}): ${result}, +${invoked.millis}..${completed.millis} ms`
}
