/**
 * The tri-state answer of a check: nothing (ok), findings, or unknown with the reason.
 */
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"

/**
 * @since 0.1.0
 * @category results
 */
export type Severity = "warning" | "critical"

/**
 * @since 0.1.0
 * @category results
 */
export type Status = "ok" | Severity | "unknown"

/**
 * Something is wrong.
 *
 * @since 0.1.0
 * @category results
 */
export interface Finding {
  readonly _tag: "Finding"
  readonly severity: Severity
  /** What it is about, in words that stay the same from pass to pass: with the check's id it is the key. */
  readonly subject: string
  /** One sentence with the numbers. Never statement texts or values of rows. */
  readonly evidence: string
  /** Further lines, e.g. the tree of who waits for whom. */
  readonly detail?: ReadonlyArray<string> | undefined
  /** The SQL or command that mends it, ready to be pasted. */
  readonly remediation: string
}

/**
 * Why a check could not see.
 *
 * @since 0.1.0
 * @category results
 */
export type UnknownReason = Data.TaggedEnum<{
  /** `grant` is the exact statement. */
  Privilege: { readonly lacking: string; readonly grant: string }
  ServerVersion: { readonly needed: number; readonly actual: number }
  /** The statistics do not reach far enough back. */
  StatisticsWindow: { readonly sinceMillis: number | undefined; readonly needed: Duration.Duration }
  /** A lock was not granted within `lock_timeout`. */
  LockWait: { readonly description: string }
  /** The check or its pass took longer than it may. */
  Deadline: { readonly after: Duration.Duration; readonly of: "check" | "pass" }
  Unreachable: { readonly node: string; readonly description: string }
  NotYetRun: { readonly description: string }
  Failed: { readonly description: string }
}>

/**
 * Constructors and refinements of `UnknownReason`.
 *
 * @since 0.1.0
 * @category results
 */
export const UnknownReason: Data.TaggedEnum.Constructor<UnknownReason> = Data.taggedEnum<UnknownReason>()

/**
 * The check could not see, and so never says ok.
 *
 * @since 0.1.0
 * @category results
 */
export interface Unknown {
  readonly _tag: "Unknown"
  /** Where only a part of the answer is missing, which one. */
  readonly subject?: string | undefined
  readonly reason: UnknownReason
}

/**
 * @since 0.1.0
 * @category results
 */
export type Result = Finding | Unknown

/**
 * @since 0.1.0
 * @category results
 */
export const finding = (fields: Omit<Finding, "_tag">): Finding => ({ _tag: "Finding", ...fields })

/**
 * @since 0.1.0
 * @category results
 */
export const unknown = (reason: UnknownReason, subject?: string | undefined): Unknown => ({
  _tag: "Unknown",
  reason,
  subject
})

/**
 * The reason in words, with what would let the check see.
 *
 * @since 0.1.0
 * @category results
 */
export const describeUnknown: (reason: UnknownReason) => string = UnknownReason.$match({
  Privilege: ({ grant, lacking }) => `the user may not see it (no ${lacking}): ${grant}`,
  ServerVersion: ({ actual, needed }) =>
    `it needs PostgreSQL ${Math.floor(needed / 10_000)}, the server is ${Math.floor(actual / 10_000)}`,
  StatisticsWindow: ({ needed, sinceMillis }) =>
    sinceMillis === undefined
      ? `it compares two samples at least ${Duration.format(needed)} apart and has one`
      : `the statistics reach back to ${DateTime.formatIso(DateTime.unsafeMake(sinceMillis))}, and ${Duration.format(needed)} are needed`,
  LockWait: ({ description }) => `it did not wait for a lock: ${description}`,
  Deadline: ({ after, of }) => `the ${of} took longer than ${Duration.format(after)}`,
  Unreachable: ({ description, node }) => `${node} is unreachable: ${description}`,
  NotYetRun: ({ description }) => description,
  Failed: ({ description }) => description
})
