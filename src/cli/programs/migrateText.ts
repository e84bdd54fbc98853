/**
 * What `plinth migrate` prints: plans, runs and states, as text and as JSON.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import type { MigrationError, Plan, PlannedMigration, Ran, Status } from "../../Migrator.ts"
import * as Format from "../Format.ts"
import type { Mark, Style } from "../Style.ts"
import { table } from "../Table.ts"

/** The plan as a person reads it. */
export const plan = (found: Plan, style: Style): string => {
  const verb = found.direction === "up" ? "apply" : "take back"
  const heading =
    found.migrations.length === 0
      ? `Nothing to ${verb}.`
      : `Would ${verb} ${Format.plural(found.migrations.length, "migration")}:`
  return [heading, ...found.migrations.map((migration) => planned(migration, style)), ...remarks(found, style)].join(
    "\n"
  )
}

const planned = (migration: PlannedMigration, style: Style): string => {
  const statements = migration.segments.reduce((total, segment) => total + segment.statements.length, 0)
  const resumed = migration.done === 0 ? "" : `, going on after ${Format.plural(migration.done, "statement")}`
  const how =
    migration.language === "code"
      ? "a program"
      : `${Format.plural(statements, "statement")}${migration.transactional ? ", one transaction" : ""}${resumed}`
  const alone = migration.segments
    .filter((segment) => segment.why !== undefined)
    .map((segment) => `    line ${segment.statements[0]?.line ?? 1} outside of a transaction: ${segment.why}`)
  const losses = migration.losses.map((loss) => `    ${style.bad("loses")} ${loss}`)
  const unknown = migration.losesData && losses.length === 0 ? ["    what it loses shows only when it runs"] : []
  return [`  ${style.bold(migration.file)}  ${style.dim(how)}`, ...alone, ...losses, ...unknown].join("\n")
}

const remarks = (
  found: { readonly problems: ReadonlyArray<MigrationError>; readonly notes: ReadonlyArray<string> },
  style: Style
): ReadonlyArray<string> => [
  ...found.notes.map((note) => `Note: ${note}`),
  ...found.problems.map((problem) => `${style.bad("Refused:")} ${problem.message}`)
]

/** The plan for programs. */
export const planJson = (found: Plan) => ({
  schema: "plinth.migrate.plan/1",
  direction: found.direction,
  migrations: found.migrations,
  problems: found.problems.map(problemJson),
  notes: found.notes
})

/** What a run did. */
export const ran = (done: ReadonlyArray<Ran>, direction: "up" | "down"): string => {
  const verb = direction === "up" ? "Applied" : "Took back"
  return done.length === 0
    ? direction === "up"
      ? "Nothing to apply: the database is up to date."
      : "Nothing to take back."
    : done.map(({ file, took }) => `${verb} ${file} in ${Format.duration(took)}`).join("\n")
}

/** What a run did, for programs. */
export const ranJson = (done: ReadonlyArray<Ran>, direction: "up" | "down") => ({
  schema: `plinth.migrate.${direction}/1`,
  migrations: done.map(({ file, id, name, took }) => ({ id, name, file, millis: Duration.toMillis(took) }))
})

/** Where every migration stands. */
export const status = (found: Status, style: Style, width: number): string => {
  const marks: Readonly<Record<Status["entries"][number]["state"], Mark>> = {
    applied: style.good,
    pending: style.warning,
    "out-of-order": style.bad,
    started: style.bad,
    reverting: style.bad,
    edited: style.bad,
    renamed: style.bad,
    missing: style.bad,
    "other-environment": style.dim
  }
  const rows = found.entries.map((entry) => [
    entry.kind === "repeatable" ? "R" : entry.id,
    entry.name,
    {
      text: entry.progress === undefined ? entry.state : `${entry.state} ${entry.progress.done}/${entry.progress.of}`,
      mark: marks[entry.state]
    },
    entry.appliedAt === undefined ? "" : DateTime.formatIso(entry.appliedAt).replace("T", " ").slice(0, 19),
    entry.took === undefined ? "" : Format.duration(entry.took),
    entry.appliedBy ?? ""
  ])
  const listed = table(
    [
      { title: "id" },
      { title: "name" },
      { title: "state" },
      { title: "applied (UTC)" },
      { title: "took", align: "right" },
      { title: "by" }
    ],
    rows,
    { width, heading: style.bold }
  )
  const summary = found.pending === 0 ? "Nothing is pending." : `${Format.count(found.pending)} pending.`
  return [...(rows.length === 0 ? ["No migrations."] : [listed, "", summary]), ...remarks(found, style)].join("\n")
}

/** Where every migration stands, for programs. */
export const statusJson = (found: Status) => ({
  schema: "plinth.migrate.status/1",
  pending: found.pending,
  migrations: found.entries.map(({ appliedAt, took, ...entry }) => ({
    ...entry,
    appliedAt: appliedAt === undefined ? undefined : DateTime.formatIso(appliedAt),
    millis: took === undefined ? undefined : Duration.toMillis(took)
  })),
  problems: found.problems.map(problemJson),
  notes: found.notes
})

const problemJson = ({ advice, description, location, migration, reason }: MigrationError) => ({
  reason,
  migration,
  location,
  description,
  advice
})
