/**
 * Chooses what `down` takes back, and by which script.
 */
import * as Effect from "effect/Effect"
import type { DownOptions } from "./Options.ts"
import * as Directives from "./Directives.ts"
import * as Failure from "./Failure.ts"
import * as History from "./History.ts"
import type { Row } from "./History.ts"
import { MigrationError } from "./MigrationError.ts"
import type { Code, MigrationFile, Script } from "./MigrationFile.ts"
import { readScript } from "./Script.ts"
import type { Session } from "./Session.ts"

/** A migration and how to take it back. */
export interface Reversal {
  readonly file: MigrationFile
  readonly down: Script | Code
  readonly row: Row
}

/** The migrations to take back, the last applied first; fails before anything runs if one of them has no way back. */
export const select = Effect.fnUntraced(function* (
  session: Session,
  files: ReadonlyArray<MigrationFile>,
  rows: ReadonlyArray<Row>,
  options: DownOptions
): Effect.fn.Return<ReadonlyArray<Reversal>, MigrationError> {
  const chosen = yield* choose(rows, options)
  const missing = chosen.filter(({ id }) => !files.some((file) => file.id === id)).map(({ id }) => id)
  const texts = yield* Effect.mapError(History.texts(session, missing), Failure.ofHistory)
  return yield* Effect.forEach(
    chosen,
    (row) =>
      Effect.gen(function* () {
        const file = files.find(({ id }) => id === row.id) ?? (yield* recorded(row, texts.get(row.id)))
        const { down } = file
        if (down === undefined) return yield* Failure.irreversible(file)
        // A program says only when it is imported whether it has a way back.
        if (down._tag === "Code" && (yield* down.load).down === undefined) return yield* Failure.irreversible(file)
        return { file, down, row }
      }),
    { concurrency: 1 }
  )
})

const choose = (
  rows: ReadonlyArray<Row>,
  { steps, to }: DownOptions
): Effect.Effect<ReadonlyArray<Row>, MigrationError> => {
  const versioned = rows.filter(({ kind }) => kind === "versioned")
  const started = versioned.find(({ status }) => status === "started")
  if (started !== undefined) {
    return Effect.fail(
      new MigrationError({
        reason: "StatementFailed",
        migration: started.id,
        description: `${started.id}_${started.name} is applied in part: ${started.statementsDone} of ${started.statements} statements are done`,
        advice: "finish it with up, then take it back"
      })
    )
  }
  if (steps !== undefined && !(Number.isInteger(steps) && steps >= 0)) {
    return Effect.fail(
      new MigrationError({
        reason: "UnknownMigration",
        description: `${steps} migrations cannot be taken back`,
        advice: "give steps as a whole number"
      })
    )
  }
  // One that is half way back comes first, whatever was asked for.
  const under = versioned.filter(({ status }) => status === "reverting")
  const applied = versioned.filter(({ status }) => status === "applied").reverse()
  const candidates = [...under, ...applied]
  if (to === undefined) return Effect.succeed(candidates.slice(0, steps ?? 1))
  // An empty text is the number 0 too, and no one who gives it wants to lose everything.
  if (!/^\d+$/.test(to) || (Number(to) !== 0 && !applied.some(({ id }) => Number(id) === Number(to)))) {
    return Effect.fail(
      new MigrationError({
        reason: "UnknownMigration",
        description: `migration ${/\S/.test(to) ? to : JSON.stringify(to)} is not applied, so there is no going back to it`,
        advice: "use the id of an applied migration, or 0 for the state before the first"
      })
    )
  }
  return Effect.succeed(candidates.filter(({ id, status }) => status === "reverting" || Number(id) > Number(to)))
}

/** A migration whose file is gone, from what the history kept of it. */
const recorded = (
  row: Row,
  texts: { readonly applied: string; readonly down: string | null } | undefined
): Effect.Effect<MigrationFile, MigrationError> =>
  Effect.gen(function* () {
    const name = `${row.id}_${row.name} (as recorded)`
    const applied = texts?.applied ?? ""
    const downText = texts?.down ?? undefined
    const up: Script = { _tag: "Script", file: name, text: applied, directives: Directives.none, statements: [] }
    return {
      id: row.id,
      name: row.name,
      file: name,
      kind: row.kind,
      text: applied,
      rawChecksum: row.rawChecksum,
      semanticChecksum: row.semanticChecksum,
      directives: Directives.none,
      up,
      down: downText === undefined ? undefined : yield* readScript(name, downText),
      downText
    }
  })
