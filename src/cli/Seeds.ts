/**
 * Loads the seeds: the `.sql` files of a folder by name, each in one transaction. They are run whenever they are asked
 * for, so they are written to be run twice.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as DatabaseErrors from "../DatabaseError.ts"
import { excerpt, offsetOfPosition, placeOf } from "../Migrator/Excerpt.ts"
import * as SqlText from "../SqlText.ts"
import type { CommandError } from "./Exit.ts"
import { CommandError as Failed, failed, misused } from "./Exit.ts"
import { Output } from "./Output.ts"

/** The files of a folder, in the order in which they are loaded. */
export const files = (
  folder: string
): Effect.Effect<ReadonlyArray<string>, CommandError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const names = yield* Effect.mapError(fs.readDirectory(folder), (cause) =>
      misused(`The seeds folder ${folder} cannot be read`, "Check --seeds and PLINTH_SEEDS", cause.message)
    )
    return names
      .filter((name) => name.endsWith(".sql"))
      .sort()
      .map((name) => path.join(folder, name))
  })

/** Loads one file. */
export const load = (
  file: string
): Effect.Effect<void, CommandError, FileSystem.FileSystem | SqlClient.SqlClient | Output> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const sql = yield* SqlClient.SqlClient
    const { notice } = yield* Output
    yield* notice(`Loading ${file}`)
    const text = yield* Effect.mapError(fs.readFileString(file), (cause) =>
      misused(`${file} cannot be read`, "Check its permissions", cause.message)
    )
    yield* Effect.forEach(
      SqlText.statements(text),
      (statement) =>
        Effect.mapError(sql.unsafe(statement.text), (cause) =>
          failure(file, text, statement, DatabaseErrors.from(cause))
        ),
      { discard: true }
    ).pipe(
      sql.withTransaction,
      Effect.mapError((error) =>
        error instanceof Failed ? error : failure(file, text, undefined, DatabaseErrors.from(error))
      )
    )
  })

const failure = (
  file: string,
  text: string,
  statement: SqlText.Statement | undefined,
  cause: DatabaseErrors.DatabaseError
): CommandError => {
  const offset =
    (statement?.start ?? 0) +
    (statement === undefined || cause.position === undefined ? 0 : offsetOfPosition(statement.text, cause.position))
  const { column, line } = placeOf(text, offset)
  return new Failed({
    what: `${file}:${line}:${column}: ${cause.description}`,
    excerpt: statement === undefined ? undefined : excerpt(text, offset),
    why: cause.detail,
    advice: cause.hint ?? "Nothing of this file was kept: correct it and run the command again",
    code: failed,
    cause
  })
}
