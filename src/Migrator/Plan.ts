/**
 * What a run would do, statement by statement, without doing it.
 */
import type { MigrationFile, Script } from "./MigrationFile.ts"
import { excerpt } from "./Excerpt.ts"
import type { Losses } from "./Losses.ts"
import { MigrationError } from "./MigrationError.ts"
import type { Pending } from "./Reconcile.ts"
import { segments } from "./Segments.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface PlannedStatement {
  readonly number: number
  readonly line: number
  readonly text: string
}

/**
 * Statements that are done or not done as a whole.
 *
 * @since 0.1.0
 * @category models
 */
export interface PlannedSegment {
  readonly transactional: boolean
  /** Why it cannot be in a transaction. */
  readonly why: string | undefined
  readonly statements: ReadonlyArray<PlannedStatement>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface PlannedMigration {
  readonly id: string
  readonly name: string
  readonly file: string
  readonly kind: "versioned" | "repeatable"
  readonly language: "sql" | "code"
  /** All of it in one transaction, together with its row in the history. */
  readonly transactional: boolean
  /** Statements that an earlier run did. */
  readonly done: number
  /** Empty for a program, which shows what it does only when it runs. */
  readonly segments: ReadonlyArray<PlannedSegment>
  /** What would be lost for good, as far as its statements show it. */
  readonly losses: ReadonlyArray<string>
  /** Rows or values would be lost, or it is a program, of which nobody knows. Never for what is applied. */
  readonly losesData: boolean
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Plan {
  readonly direction: "up" | "down"
  readonly migrations: ReadonlyArray<PlannedMigration>
  /** Why the run would be refused. */
  readonly problems: ReadonlyArray<MigrationError>
  readonly notes: ReadonlyArray<string>
}

const none: Losses = { sentences: [], ofData: false }

/** The plan of one migration. */
export const planMigration = (
  file: MigrationFile,
  body: MigrationFile["up"],
  done: number,
  losses: Losses = none
): PlannedMigration => {
  const planned = body._tag === "Code" ? [] : planSegments(body, done)
  return {
    id: file.id,
    name: file.name,
    file: body.file,
    kind: file.kind,
    language: body._tag === "Code" ? "code" : "sql",
    transactional: done === 0 && planned.length <= 1 && planned.every((segment) => segment.transactional),
    done,
    segments: planned,
    losses: losses.sentences,
    losesData: losses.ofData
  }
}

const planSegments = (script: Script, done: number): ReadonlyArray<PlannedSegment> =>
  segments(script, done).map((segment) => ({
    transactional: segment._tag === "Transaction",
    why: segment._tag === "Alone" ? segment.why : undefined,
    statements: segment.statements.map(({ line, number, text }) => ({ number, line, text }))
  }))

/** Statements that a migration must not contain. */
export const refusals = (id: string, body: MigrationFile["up"]): ReadonlyArray<MigrationError> =>
  body._tag === "Code"
    ? []
    : body.statements.flatMap(({ boundary, column, line, offset, text }) =>
        boundary._tag === "Refused"
          ? [
              new MigrationError({
                reason: "UnsupportedStatement",
                migration: id,
                location: { file: body.file, line, column },
                excerpt: excerpt(body.text, offset),
                statement: text,
                description: `this statement has no place in a migration: ${boundary.why}`,
                advice: boundary.advice
              })
            ]
          : []
      )

/** What `up` applies: everything pending up to `to`, and repeatable ones once no versioned one is left. */
export const selectUp = (pending: ReadonlyArray<Pending>, to: string | undefined): ReadonlyArray<Pending> => {
  if (to === undefined) return pending
  const versioned = pending.filter(({ file }) => file.kind === "versioned")
  const selected = versioned.filter(({ file }) => Number(file.id) <= Number(to))
  return selected.length === versioned.length ? pending : selected
}
