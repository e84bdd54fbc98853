/**
 * `plinth route`: where a statement would run, and why.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as SqlClassifier from "../../SqlClassifier.ts"
import { onPrimary } from "../Clients.ts"
import * as Exit from "../Exit.ts"
import type { DatabaseOptions } from "../Options.ts"
import { Output } from "../Output.ts"
import * as Session from "../Session.ts"
import { Stdio } from "../Stdio.ts"
import * as Variables from "../Variables.ts"
import * as standard from "../specs/standardOptions.ts"

/** Classifies the arguments, or what comes on stdin. */
export const route = (input: { readonly database: DatabaseOptions; readonly sql: ReadonlyArray<string> }) =>
  Effect.gen(function* () {
    const output = yield* Output
    const { stdin } = yield* Stdio
    const { classify } = SqlClassifier.make(yield* catalog(input.database))
    const show = (sql: string) => output.print(`${describe(sql, classify(sql), output)}\n`)

    if (input.sql.length > 0) return yield* Effect.forEach(input.sql, show, { discard: true })
    if (stdin.isTerminal) {
      return yield* Exit.misused("No statement was given", 'Write it as an argument: plinth route "SELECT 1"')
    }
    if (!output.options.json) return yield* Effect.flatMap(Stream.mkString(stdin.text), show)
    yield* stdin.lines.pipe(
      Stream.filter((line) => line.trim() !== ""),
      Stream.zipWithIndex,
      Stream.mapEffect(([line, index]) => Effect.flatMap(statement(line, index + 1), show)),
      // Nobody reads the answers any more: the questions need not be read to their end either.
      Stream.interruptWhen(output.closed),
      Stream.runDrain
    )
  }).pipe(Effect.scoped)

/** The catalogue of the configured database; PostgreSQL's own where none is configured. */
const catalog = (options: DatabaseOptions) =>
  Effect.gen(function* () {
    const isEmbedded = yield* Variables.flag(options.embedded, standard.database.embedded)
    const settings = yield* Session.settings(options)
    if (!isEmbedded && !Session.isConfigured(settings)) return SqlClassifier.builtin
    const database = yield* Session.open(options, "none")
    return yield* onPrimary(SqlClassifier.loadCatalog, database.settings)
  })

const describe = (sql: string, answer: SqlClassifier.Classification, output: Output["Type"]): string => {
  if (output.options.json) return JSON.stringify({ sql, class: answer.class, reason: answer.reason })
  const mark = answer.class === "read" ? output.style.good : output.style.warning
  return `${mark(answer.class)}: ${answer.reason}`
}

const decodeLine = Schema.decodeEither(Schema.parseJson(Schema.String))

const statement = (line: string, number: number) =>
  Either.match(decodeLine(line), {
    onRight: Effect.succeed,
    onLeft: () =>
      Exit.misused(`Line ${number} of stdin is not a JSON string`, 'Write one statement per line, as in "SELECT 1"')
  })
