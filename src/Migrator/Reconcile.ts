/**
 * Holds the files against the history, by id and content and never by a highest number: what is pending, and what does
 * not fit together.
 */
import * as Order from "effect/Order"
import { diff } from "./Diff.ts"
import type { Row } from "./History.ts"
import type { MigrationFile, Script, Statement } from "./MigrationFile.ts"
import { MigrationError } from "./MigrationError.ts"
import * as SqlText from "../SqlText.ts"

/**
 * Where a migration stands.
 *
 * - `pending`: not applied, or repeatable and changed since
 * - `out-of-order`: pending, while a newer one is applied
 * - `started`: some of its statements are done, and the next run goes on
 * - `reverting`: taken back in part, and the next `down` goes on
 * - `edited`, `renamed`, `missing`: applied, and the file says something else
 * - `other-environment`: pending, and for another environment
 *
 * @since 0.1.0
 * @category models
 */
export type State =
  | "applied"
  | "pending"
  | "out-of-order"
  | "started"
  | "reverting"
  | "edited"
  | "renamed"
  | "missing"
  | "other-environment"

/** A migration as file and history know it; at least one of both does. */
export interface Entry {
  readonly id: string
  readonly state: State
  readonly file: MigrationFile | undefined
  readonly row: Row | undefined
}

/** A migration that a run would apply. */
export interface Pending {
  readonly file: MigrationFile
  readonly row: Row | undefined
}

/** The whole picture. */
export interface Reconciliation {
  readonly entries: ReadonlyArray<Entry>
  /** In the order in which they run. */
  readonly pending: ReadonlyArray<Pending>
  /** Why a run would be refused; the first one is the failure. */
  readonly problems: ReadonlyArray<MigrationError>
  /** Harmless differences. */
  readonly notes: ReadonlyArray<string>
}

export interface Policy {
  /** What to do with a pending migration that is older than an applied one. */
  readonly outOfOrder: "error" | "apply"
  /** Where this database is used; migrations for other environments are passed over. */
  readonly environment: string | undefined
}

/** The texts of the migrations whose difference has to be shown, as `idsOfTexts` named them. */
export type AppliedTexts = ReadonlyMap<string, { readonly applied: string }>

/** For which migrations the applied text is needed: those whose file is not the same any more. */
export const idsOfTexts = (files: ReadonlyArray<MigrationFile>, rows: ReadonlyArray<Row>): ReadonlyArray<string> => {
  const byId = new Map(files.map((file) => [file.id, file]))
  return rows
    .filter(({ id, rawChecksum, status }) => {
      const file = byId.get(id)
      return file !== undefined && status !== "reverted" && file.rawChecksum !== rawChecksum
    })
    .map(({ id }) => id)
}

const isDone = (row: Row | undefined): row is Row => row !== undefined && row.status !== "reverted"

/** Compares files and history. */
export const reconcile = (
  files: ReadonlyArray<MigrationFile>,
  rows: ReadonlyArray<Row>,
  texts: AppliedTexts,
  policy: Policy
): Reconciliation => {
  const rowOf = new Map(rows.map((row) => [row.id, row]))
  const known = new Set(files.map(({ id }) => id))
  const newest = rows
    .filter((row) => row.kind === "versioned" && row.status === "applied")
    .reduce((max, { id }) => Math.max(max, Number(id)), Number.NEGATIVE_INFINITY)

  const entries: Array<Entry> = files.map((file) => {
    const row = rowOf.get(file.id)
    return { id: file.id, state: stateOf(file, row, newest, policy), file, row }
  })
  for (const row of rows) {
    // A repeatable object whose file is gone may live on or be dropped by a versioned migration.
    if (!known.has(row.id) && isDone(row) && row.kind === "versioned") {
      entries.push({ id: row.id, state: "missing", file: undefined, row })
    }
  }

  const pending = entries.flatMap(({ file, row, state }): ReadonlyArray<Pending> =>
    file !== undefined && (state === "pending" || state === "out-of-order" || state === "started")
      ? [{ file, row }]
      : []
  )
  const problems = entries.flatMap((entry) => problemOf(entry, entries, texts, policy) ?? [])
  return {
    entries: entries.sort(entryOrder),
    pending,
    problems: [...problems, ...dependencyProblems(pending, rowOf)],
    notes: files.flatMap((file) => noteOf(file, rowOf.get(file.id)) ?? [])
  }
}

/** Versioned ones by number, whether there is a file or not, then repeatable ones. */
const entryOrder: Order.Order<Entry> = Order.combine(
  Order.mapInput(Order.boolean, ({ id }: Entry) => id.startsWith("R__")),
  Order.combine(
    Order.mapInput(Order.number, ({ id }: Entry) => (id.startsWith("R__") ? 0 : Number(id))),
    Order.mapInput(Order.string, ({ id }: Entry) => id)
  )
)

const stateOf = (file: MigrationFile, row: Row | undefined, newest: number, policy: Policy): State => {
  if (!isDone(row)) {
    const { environments } = file.directives
    if (environments.length > 0 && !environments.some((name) => name === policy.environment)) return "other-environment"
    return file.kind === "versioned" && Number(file.id) < newest ? "out-of-order" : "pending"
  }
  if (row.status === "reverting") return "reverting"
  if (row.status === "started") return "started"
  if (file.kind === "repeatable") return row.semanticChecksum === file.semanticChecksum ? "applied" : "pending"
  if (row.semanticChecksum !== file.semanticChecksum) return "edited"
  return row.name === file.name ? "applied" : "renamed"
}

const noteOf = (file: MigrationFile, row: Row | undefined): string | undefined =>
  isDone(row) &&
  row.status === "applied" &&
  row.semanticChecksum === file.semanticChecksum &&
  row.rawChecksum !== file.rawChecksum
    ? `${file.file} was edited after it was applied, in comments, layout or its down section only`
    : undefined

const problemOf = (
  { file, id, row, state }: Entry,
  entries: ReadonlyArray<Entry>,
  texts: AppliedTexts,
  policy: Policy
): MigrationError | undefined => {
  switch (state) {
    case "out-of-order":
      return policy.outOfOrder === "apply"
        ? undefined
        : new MigrationError({
            reason: "OutOfOrder",
            migration: id,
            description: `${file?.file ?? id} is not applied, while newer migrations are`,
            advice:
              "give it a number higher than every applied one if the order matters, or allow out-of-order migrations if not"
          })
    case "started":
      return file?.up._tag === "Script" && row !== undefined ? prefixProblem(file, file.up, row, texts) : undefined
    case "reverting":
      return new MigrationError({
        reason: "HalfReverted",
        migration: id,
        description: `${file?.file ?? id} was being taken back, and ${row?.statementsDone ?? 0} of ${row?.statements ?? 0} statements are done`,
        advice: "finish it with down"
      })
    case "edited":
      return editedProblem(id, file, texts)
    case "renamed":
      return new MigrationError({
        reason: "Renamed",
        migration: id,
        description: `${file?.file ?? id} was applied under the name ${id}_${row?.name ?? ""}`,
        advice: "rename the file back; the name is how people find what was applied"
      })
    case "missing": {
      const twin = entries.find(
        (other) =>
          other.file !== undefined && other.row === undefined && other.file.semanticChecksum === row?.semanticChecksum
      )
      return new MigrationError({
        reason: twin === undefined ? "Missing" : "Renamed",
        migration: id,
        description:
          twin?.file === undefined
            ? `${id}_${row?.name ?? ""} is applied, and its file is gone`
            : `${id}_${row?.name ?? ""} is applied, and its file is now ${twin.file.file}`,
        advice:
          twin === undefined
            ? "bring the file back (another branch?), or take the migration back with down, which knows its recorded text"
            : "give it its applied number and name again"
      })
    }
    default:
      return undefined
  }
}

const editedProblem = (id: string, file: MigrationFile | undefined, texts: AppliedTexts): MigrationError =>
  new MigrationError({
    reason: "Edited",
    migration: id,
    description: `${file?.file ?? id} was edited after it was applied (- applied, + file)`,
    diff: diff(texts.get(id)?.applied ?? "", file?.text ?? ""),
    advice: "undo the edit, and write the change as a new migration"
  })

/** The statements that are done are history; those after them may be corrected. */
const prefixProblem = (
  file: MigrationFile,
  script: Script,
  row: Row,
  texts: AppliedTexts
): MigrationError | undefined => {
  if (file.rawChecksum === row.rawChecksum) return undefined
  const applied = SqlText.statements(texts.get(file.id)?.applied ?? "").slice(0, row.statementsDone)
  const same = (statement: Statement | undefined, text: string): boolean =>
    statement !== undefined && statement.normalized === SqlText.normalize(text)
  return applied.every(({ text }, index) => same(script.statements[index], text))
    ? undefined
    : new MigrationError({
        ...editedProblem(file.id, file, texts),
        description: `${file.file} was edited in the first ${row.statementsDone} statements, which are done already (- applied, + file)`,
        advice: "undo the edit of those statements; the ones after them may be corrected"
      })
}

/** A dependency has to be applied or to come before. */
const dependencyProblems = (
  pending: ReadonlyArray<Pending>,
  rows: ReadonlyMap<string, Row>
): ReadonlyArray<MigrationError> => {
  const before = new Set([...rows.values()].filter(({ status }) => status === "applied").map(({ id }) => id))
  const problems: Array<MigrationError> = []
  for (const { file } of pending) {
    for (const dependency of file.directives.depends) {
      if (before.has(dependency)) continue
      problems.push(
        new MigrationError({
          reason: "DependencyMissing",
          migration: file.id,
          description: `${file.file} depends on ${dependency}, which is neither applied nor before it`,
          advice: "correct the id, or give this migration a higher number"
        })
      )
    }
    before.add(file.id)
  }
  return problems
}
