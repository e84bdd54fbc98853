/**
 * Where every migration stands.
 */
import type * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import type { MigrationError } from "./MigrationError.ts"
import type { Entry, Reconciliation, State } from "./Reconcile.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface StatusEntry {
  readonly id: string
  readonly name: string
  readonly kind: "versioned" | "repeatable"
  readonly state: State
  /** `undefined` when it is missing. */
  readonly file: string | undefined
  readonly appliedAt: DateTime.Utc | undefined
  readonly took: Duration.Duration | undefined
  /** The role and the host that applied it. */
  readonly appliedBy: string | undefined
  /** Of a migration that is under way: statements done, of how many. */
  readonly progress: { readonly done: number; readonly of: number } | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Status {
  readonly entries: ReadonlyArray<StatusEntry>
  /** Who applies or takes back what is under way: the holder of the migration lock. Absent where nobody does. */
  readonly running: string | undefined
  /** How many a run would apply. */
  readonly pending: number
  /** Why a run would be refused. */
  readonly problems: ReadonlyArray<MigrationError>
  readonly notes: ReadonlyArray<string>
}

export const statusOf = (
  { entries, notes, pending, problems }: Reconciliation,
  running: string | undefined
): Status => ({
  entries: entries.map(toEntry),
  running,
  pending: pending.length,
  problems,
  notes: [...notes, ...(running === undefined ? [] : [`${running} migrates this database at this moment`])]
})

/** Whether a migration was begun and is not finished, by a run that lives or by one that ended. */
export const isUnderWay = ({ entries }: Reconciliation): boolean =>
  entries.some(({ state }) => state === "started" || state === "reverting")

const toEntry = ({ file, id, row, state }: Entry): StatusEntry => {
  const known = row?.status === "reverted" ? undefined : row
  return {
    id,
    name: file?.name ?? row?.name ?? "",
    kind: file?.kind ?? row?.kind ?? "versioned",
    state,
    file: file?.file,
    appliedAt: known?.finishedAt ?? undefined,
    took: known === undefined || known.durationMs === null ? undefined : Duration.millis(known.durationMs),
    appliedBy: known === undefined ? undefined : `${known.appliedBy}@${known.host}`,
    progress:
      known?.status === "started" || known?.status === "reverting"
        ? { done: known.statementsDone, of: known.statements }
        : undefined
  }
}
