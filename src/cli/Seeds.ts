/**
 * Loads the seeds: the `.sql` files of a folder by name, each in one transaction. They are run whenever they are asked
 * for, so they are written to be run twice.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as DatabaseErrors from "../DatabaseError.ts"
import { boundaryOf } from "../Migrator/Boundary.ts"
import { excerpt, offsetOfPosition, placeOf } from "../Migrator/Excerpt.ts"
import * as FileText from "../Migrator/FileText.ts"
import * as SqlText from "../SqlText.ts"
import type { CommandError } from "./Exit.ts"
import { CommandError as Failed, failed, misused, usage } from "./Exit.ts"
import { Output } from "./Output.ts"

/** A file of seeds that can be loaded. */
export interface Seed {
  readonly file: string
  readonly text: string
  readonly statements: ReadonlyArray<SqlText.Statement>
}

/** Reads the files of a folder, in the order in which they are loaded. What none can load is refused before the first is. */
export const read = (
  folder: string
): Effect.Effect<ReadonlyArray<Seed>, CommandError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const names = yield* Effect.mapError(fs.readDirectory(folder), (cause) =>
      misused(`The seeds folder ${folder} cannot be read`, "Check --seeds and PLINTH_SEEDS", cause.message)
    )
    return yield* Effect.forEach(
      names.filter((name) => /\.sql$/i.test(name)).sort(),
      (name) => readSeed(path.join(folder, name)),
      { concurrency: 4 }
    )
  })

const readSeed = (file: string): Effect.Effect<Seed, CommandError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const bytes = yield* Effect.mapError(fs.readFile(file), (cause) =>
      misused(`${file} cannot be read`, "Check its permissions", cause.message)
    )
    const text = yield* Effect.mapError(FileText.decode(bytes), ({ column, line, problem }) =>
      misused(`${file}:${line}:${column}: the file cannot be read as text: ${problem}`, "Save it as UTF-8")
    )
    const statements = SqlText.statements(text)
    for (const { column, line, start, text: statement } of statements) {
      const boundary = boundaryOf(SqlText.normalize(statement))
      if (boundary._tag !== "Refused") continue
      return yield* new Failed({
        what: `${file}:${line}:${column}: this statement has no place in a seed: ${boundary.why}`,
        excerpt: excerpt(text, start),
        advice: boundary.controlsTransaction
          ? "Remove it: a file of seeds already runs in a transaction of its own"
          : boundary.advice,
        code: usage
      })
    }
    return { file, text, statements }
  })

/** Loads one file. */
export const load = ({
  file,
  statements,
  text
}: Seed): Effect.Effect<void, CommandError, SqlClient.SqlClient | Output> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { notice } = yield* Output
    yield* notice(`Loading ${file}`)
    yield* Effect.forEach(
      statements,
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
