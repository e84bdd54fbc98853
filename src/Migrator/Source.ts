/**
 * Where migrations come from: a folder, or a record that a bundler made.
 */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as FileName from "./FileName.ts"
import * as FileText from "./FileText.ts"
import { normalizeText } from "./FileText.ts"
import { assemble } from "./FileSet.ts"
import type { Entry } from "./FileSet.ts"
import { importMigration } from "./importMigration.ts"
import type { Migration } from "./Migration.ts"
import type { MigrationFile } from "./MigrationFile.ts"
import { MigrationError } from "./MigrationError.ts"

/**
 * A set of migrations, read anew each time, so that a file that changed is seen.
 *
 * @since 0.1.0
 * @category models
 */
export interface Source {
  /** Versioned ones by id, then repeatable ones by name. */
  readonly load: Effect.Effect<ReadonlyArray<MigrationFile>, MigrationError>
}

/**
 * The files of a folder. Names of other forms that end like a migration are an error, other files are not looked at.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromFolder = (folder: string): Effect.Effect<Source, never, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path

    const unreadable = (file: string, cause: PlatformError) =>
      new MigrationError({
        reason: "InvalidSource",
        description: `${file} cannot be read: ${cause._tag === "SystemError" ? (cause.description ?? cause.reason) : cause.message}`,
        advice: "check the path and its permissions",
        cause
      })

    const read = Effect.fnUntraced(function* (name: FileName.FileName) {
      const file = path.join(folder, name.file)
      const bytes = yield* Effect.mapError(fs.readFile(file), (cause) => unreadable(file, cause))
      const text = yield* Effect.mapError(FileText.decode(bytes), ({ column, line, problem }) =>
        notText(file, problem, { line, column })
      )
      const url = Effect.mapError(path.toFileUrl(path.resolve(file)), (cause) => unreadable(file, cause))
      const load = Effect.flatMap(url, ({ href }) => importMigration(file, href))
      return { name, path: file, text, load }
    })

    const load = Effect.gen(function* () {
      const files = yield* Effect.mapError(fs.readDirectory(folder), (cause) =>
        unreadable(`the folder ${folder}`, cause)
      )
      const names = yield* parseNames(files.filter(FileName.looksLikeMigration), (file) => path.join(folder, file))
      const entries = yield* Effect.forEach(names, read, { concurrency: 16 })
      return yield* assemble(entries)
    })
    return { load }
  })

const notText = (file: string, problem: string, place: { readonly line: number; readonly column: number }) =>
  new MigrationError({
    reason: "InvalidSource",
    location: { file, ...place },
    description: `the file cannot be read as text: ${problem}`,
    advice: "save it as UTF-8"
  })

/**
 * Migrations by file name, for programs that cannot read a folder at run time. A key may be a path, as `import.meta.glob`
 * gives it. A program has no text here, so an edit of it is not noticed.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromRecord = (record: Readonly<Record<string, string | Migration>>): Effect.Effect<Source> =>
  Effect.succeed({
    load: Effect.gen(function* () {
      const contents = new Map(Object.entries(record).map(([key, content]) => [fileNameOf(key, content), content]))
      const names = yield* parseNames([...contents.keys()], (file) => file)
      const entries = names.map((name): Entry => {
        const content = contents.get(name.file) ?? ""
        return Predicate.isString(content)
          ? { name, path: name.file, text: normalizeText(content), load: Effect.never }
          : { name, path: name.file, text: name.file, load: Effect.succeed(content) }
      })
      return yield* assemble(entries)
    })
  })

const fileNameOf = (key: string, content: string | Migration): string => {
  const base = key.slice(key.lastIndexOf("/") + 1)
  if (base.includes(".")) return base
  return `${base}.${Predicate.isString(content) ? "sql" : "js"}`
}

const parseNames = (
  files: ReadonlyArray<string>,
  show: (file: string) => string
): Effect.Effect<ReadonlyArray<FileName.FileName>, MigrationError> =>
  Effect.forEach(files, (file) => {
    const name = FileName.parse(file)
    return name === undefined
      ? Effect.fail(
          new MigrationError({
            reason: "InvalidSource",
            description: `${show(file)} is not the name of a migration`,
            advice:
              "name it 0001_what_it_does.sql, 20261122153000_what_it_does.sql, R__view.sql, or .ts or .js for a " +
              "program; move it elsewhere if it is none"
          })
        )
      : Effect.succeed(name)
  })
