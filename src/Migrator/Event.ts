/**
 * What happens during a run, for whoever shows it.
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"

/**
 * A session of the server that somebody waits for.
 *
 * @since 0.1.0
 * @category models
 */
export interface Blocker {
  readonly pid: number
  readonly application: string
  readonly state: string
  /** Empty where this role may not see it. */
  readonly query: string
  /** How long its transaction is open; `undefined` where this role may not see it. */
  readonly transactionAge: Duration.Duration | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export type MigrationEvent = Data.TaggedEnum<{
  /** Another process migrates this database. */
  readonly WaitingForLock: { readonly holder: string; readonly waited: Duration.Duration }
  /** A statement of a run that is dead still runs on the server. */
  readonly WaitingForOrphan: { readonly pid: number; readonly waited: Duration.Duration }
  readonly MigrationStarted: {
    readonly id: string
    readonly file: string
    readonly direction: "up" | "down"
    readonly statements: number
    /** Statements that an earlier run did. */
    readonly done: number
  }
  readonly StatementStarted: {
    readonly id: string
    readonly number: number
    readonly file: string
    readonly line: number
    readonly statement: string
  }
  readonly StatementFinished: { readonly id: string; readonly number: number; readonly took: Duration.Duration }
  /** A statement has waited for some time, and for whom. */
  readonly Blocked: { readonly id: string; readonly blockers: ReadonlyArray<Blocker> }
  /** It gave way to others and tries again. */
  readonly Retrying: { readonly id: string; readonly attempt: number; readonly blockers: ReadonlyArray<Blocker> }
  /** What an interrupted run left behind was dealt with. */
  readonly Repaired: { readonly id: string; readonly description: string }
  readonly MigrationFinished: {
    readonly id: string
    readonly direction: "up" | "down"
    readonly took: Duration.Duration
  }
  /** Nothing wrong, yet worth knowing. */
  readonly Notice: { readonly message: string }
}>

/**
 * @since 0.1.0
 * @category models
 */
export const MigrationEvent = Data.taggedEnum<MigrationEvent>()

/** A blocker as people look for it. */
export const describeBlocker = ({ application, pid, query, state, transactionAge }: Blocker): string => {
  const name = application === "" ? "" : ` (${application})`
  const age = transactionAge === undefined ? "" : ` for ${seconds(transactionAge)}`
  const text = query === "" ? "" : `: ${query.replace(/\s+/g, " ").slice(0, 80)}`
  return pid === 0 ? "a prepared transaction (see pg_prepared_xacts)" : `pid ${pid}${name}, ${state}${age}${text}`
}

const seconds = (duration: Duration.Duration): string => {
  const total = Math.round(Duration.toMillis(duration) / 100) / 10
  return total < 120 ? `${total} s` : `${Math.round(total / 60)} min`
}
