/**
 * Loads the seeds: the `.sql` files of a folder by name, each in one transaction together with the note that it was loaded.
 * A file is loaded once, by its content: one that was changed is loaded again.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as DatabaseErrors from "../DatabaseError.ts"
import * as Sha256 from "../internal/node/Sha256.ts"
import { boundaryOf } from "../Migrator/Boundary.ts"
import { excerpt, offsetOfPosition, placeOf } from "../Migrator/Excerpt.ts"
import * as FileText from "../Migrator/FileText.ts"
import * as SqlText from "../SqlText.ts"
import type { CommandError } from "./Exit.ts"
import { CommandError as Failed, failed, misused, usage } from "./Exit.ts"
import { Output } from "./Output.ts"
import * as PlinthSchema from "./PlinthSchema.ts"

/** A file of seeds that can be loaded. */
export interface Seed {
  readonly file: string
  readonly text: string
  readonly statements: ReadonlyArray<SqlText.Statement>
  /** Of its statements without comments and layout. */
  readonly checksum: string
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
    const semantic = statements.map(({ text: statement }) => SqlText.normalize(statement)).join(";\n")
    return { file, text, statements, checksum: Sha256.hex(semantic) }
  })

const Loaded = Schema.Array(Schema.Struct({ checksum: Schema.String, file: Schema.String }))

/** Those that were not loaded into this database yet. Changes nothing, and needs no schema `plinth`. */
export const pending = (
  seeds: ReadonlyArray<Seed>
): Effect.Effect<ReadonlyArray<Seed>, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const tables = yield* sql`SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = 'plinth' AND c.relname = 'seed'`
    if (tables.length === 0) return seeds
    const loaded = yield* readLoaded
    return seeds.filter(({ checksum }) => !loaded.some((one) => one.checksum === checksum))
  })

const readLoaded = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.flatMap(sql`SELECT checksum, file FROM plinth.seed`, (rows) =>
    Effect.orDie(Schema.decodeUnknown(Loaded)(rows))
  )
)

/** Loads what was not loaded yet, and says how many files that were. */
export const load = (seeds: ReadonlyArray<Seed>) =>
  Effect.gen(function* () {
    if (seeds.length === 0) return 0
    yield* PlinthSchema.install
    const { notice } = yield* Output
    const before = yield* readLoaded
    const loaded = yield* Effect.forEach(yield* pending(seeds), (seed) =>
      Effect.gen(function* () {
        const isChanged = before.some(({ file }) => file === seed.file)
        yield* notice(`Loading ${seed.file}${isChanged ? " again: it has changed since it was loaded" : ""}`)
        return yield* loadOne(seed)
      })
    )
    return loaded.filter((isLoaded) => isLoaded).length
  })

/** Loads one file, unless another process has done so meanwhile: the note is made first, and the second one waits at it. */
const loadOne = ({
  checksum,
  file,
  statements,
  text
}: Seed): Effect.Effect<boolean, CommandError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    return yield* Effect.gen(function* () {
      const noted = yield* sql`INSERT INTO plinth.seed (checksum, file) VALUES (${checksum}, ${file})
        ON CONFLICT DO NOTHING RETURNING checksum`
      if (noted.length === 0) return false
      yield* Effect.forEach(
        statements,
        (statement) =>
          Effect.mapError(sql.unsafe(statement.text), (cause) =>
            failure(file, text, statement, DatabaseErrors.from(cause))
          ),
        { discard: true }
      )
      return true
    }).pipe(
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
