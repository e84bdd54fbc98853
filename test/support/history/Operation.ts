/**
 * A history: what sessions did to counters, in the order in which everything was invoked and completed.
 */

/** A place in the order of all invocations and completions, and when that was. */
export interface Moment {
  /** Dense, from 0. */
  readonly place: number
  /** Since the start of the history, for people. */
  readonly millis: number
}

/** The state of a counter. */
export interface Observation {
  readonly value: number
  /** The operation that gave the counter this value; undefined for the 0 of the start. */
  readonly writer: number | undefined
  /** The newest entry of the counter: every write makes one in the same transaction. */
  readonly entry: number
  /** Which server said so. */
  readonly node: string
}

export type Outcome =
  | { readonly _tag: "Done"; readonly observation: Observation }
  /** It certainly had no effect. */
  | { readonly _tag: "Undone" }
  /** It failed or was given up; a write may have been committed. */
  | { readonly _tag: "Unknown" }

export interface Operation {
  readonly id: number
  readonly session: string
  readonly key: number
  readonly kind: "read" | "write"
  /** What a read promises: "session" all that its session has seen, "eventual" nothing. */
  readonly level: "session" | "eventual"
  /** How it was done, for people. */
  readonly how: string
  readonly invoked: Moment
  readonly completed: Moment
  readonly outcome: Outcome
}

/** An entry that was found on the primary at the end. */
export interface Entry {
  readonly key: number
  readonly value: number
  readonly writer: number
}

export interface History {
  readonly operations: ReadonlyArray<Operation>
  readonly entries: ReadonlyArray<Entry>
}
