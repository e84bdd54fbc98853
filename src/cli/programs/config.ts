/**
 * `plinth config`: the settings in force, and the mark of a database.
 */
import * as Effect from "effect/Effect"
import type { DatabaseOptions } from "../Options.ts"
import { Output } from "../Output.ts"
import * as Session from "../Session.ts"
import { table } from "../Table.ts"

/** Every setting in force, without secrets. */
export const show = (input: { readonly database: DatabaseOptions }) =>
  Effect.gen(function* () {
    const output = yield* Output
    const { entries, profile } = yield* Session.settings(input.database)
    const width = yield* output.width
    yield* output.result({
      json: () => ({ schema: "plinth.config/1", profile, settings: entries }),
      text: () =>
        table(
          [{ title: "option" }, { title: "value" }, { title: "from" }, { title: "variable" }],
          entries.map((entry) => [
            entry.option,
            entry.source.startsWith("default") ? { text: entry.value, mark: output.style.dim } : entry.value,
            entry.source,
            entry.variable
          ]),
          { width, heading: output.style.bold }
        )
    })
  })
