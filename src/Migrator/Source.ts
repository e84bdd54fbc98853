/**
 * Where migrations come from: a folder, or a record that a bundler made.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Sha256 from "../internal/node/Sha256.ts"
import * as SqlText from "../SqlText.ts"
import * as Directives from "./Directives.ts"
import * as FileName from "./FileName.ts"
import { importMigration } from "./importMigration.ts"
import type { Migration } from "./Migration.ts"
import type { Code, MigrationFile } from "./MigrationFile.ts"
import { byId } from "./MigrationFile.ts"
import { MigrationError } from "./MigrationError.ts"
import { normalizeText, readScript, readSections } from "./Script.ts"

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

/** A file as it was found. */
interface Entry {
  readonly name: FileName.FileName
  /** As it is shown in messages. */
  readonly path: string
  readonly text: string
  readonly load: Effect.Effect<Migration, MigrationError>
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

    const unreadable = (file: string, cause: { readonly message: string }) =>
      new MigrationError({
        reason: "InvalidSource",
        description: `${file} cannot be read: ${cause.message}`,
        advice: "check the path and its permissions",
        cause
      })

    const read = Effect.fnUntraced(function* (name: FileName.FileName) {
      const file = path.join(folder, name.file)
      const text = normalizeText(yield* Effect.mapError(fs.readFileString(file), (cause) => unreadable(file, cause)))
      const url = Effect.mapError(path.toFileUrl(path.resolve(file)), (cause) => unreadable(file, cause))
      const load = Effect.flatMap(url, ({ href }) => importMigration(file, href))
      return { name, path: file, text, load }
    })

    const load = Effect.gen(function* () {
      const files = yield* Effect.mapError(fs.readDirectory(folder), (cause) => unreadable(folder, cause))
      const names = yield* parseNames(files.filter(FileName.looksLikeMigration), (file) => path.join(folder, file))
      const entries = yield* Effect.forEach(names, read, { concurrency: 16 })
      return yield* assemble(entries)
    })
    return { load }
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

/** Pairs up and down files, and refuses sets that have no clear order. */
const assemble = Effect.fnUntraced(function* (entries: ReadonlyArray<Entry>) {
  const downs = new Map<string, Entry>()
  const ups: Array<Entry> = []
  for (const entry of entries) {
    if (entry.name.direction === "up") ups.push(entry)
    else downs.set(keyOf(entry.name), entry)
  }
  yield* refuseDuplicates(ups)
  yield* refuseMixedStyles(ups)
  const files: Array<MigrationFile> = []
  for (const entry of ups) {
    const key = keyOf(entry.name)
    files.push(yield* entry.name.language === "sql" ? readSql(entry, downs.get(key)) : readCode(entry))
    downs.delete(key)
  }
  const [orphan] = downs.values()
  if (orphan !== undefined) {
    return yield* new MigrationError({
      reason: "InvalidSource",
      description: `${orphan.path} has no ${orphan.name.id}_${orphan.name.name}.sql beside it`,
      advice: "give both files the same id and name, or delete it"
    })
  }
  const versioned = files.filter(({ kind }) => kind === "versioned").sort(byId)
  const repeatable = files.filter(({ kind }) => kind === "repeatable").sort((a, b) => (a.id < b.id ? -1 : 1))
  return [...versioned, ...repeatable]
})

const keyOf = (name: FileName.FileName): string => `${name.id}_${name.name}`

const readSql = Effect.fnUntraced(function* (entry: Entry, beside: Entry | undefined) {
  const { name, path, text } = entry
  const sections = yield* readSections(path, text)
  if (beside !== undefined && sections.down !== undefined) {
    return yield* new MigrationError({
      reason: "InvalidSource",
      description: `${path} has a down section and ${beside.path} beside it`,
      advice: "keep one of them"
    })
  }
  const down = beside === undefined ? sections.down : yield* readScript(beside.path, beside.text)
  const file: MigrationFile = {
    id: name.id,
    name: name.name,
    file: path,
    kind: name.kind,
    text,
    rawChecksum: Sha256.hex(text),
    semanticChecksum: Sha256.hex(semanticText(text)),
    directives: sections.up.directives,
    up: sections.up,
    down,
    downText: beside === undefined ? sections.downText : beside.text
  }
  return file
})

/**
 * The tokens that run when a text is applied. The way down is not among them: correcting it does not change what was
 * applied.
 */
const semanticText = (text: string): string => SqlText.normalize(text.slice(0, Directives.downSection(text)))

/** Any edit of a program counts, since its meaning cannot be seen. Its down is known once it is imported. */
const readCode = ({ load, name, path, text }: Entry): Effect.Effect<MigrationFile> => {
  const code: Code = { _tag: "Code", file: path, load }
  const checksum = Sha256.hex(text)
  return Effect.succeed({
    id: name.id,
    name: name.name,
    file: path,
    kind: name.kind,
    text,
    rawChecksum: checksum,
    semanticChecksum: checksum,
    directives: Directives.none,
    up: code,
    down: code,
    downText: undefined
  })
}

const refuseDuplicates = (entries: ReadonlyArray<Entry>): Effect.Effect<void, MigrationError> => {
  const seen = new Map<string, Entry>()
  for (const entry of entries) {
    const { id, kind } = entry.name
    const key = kind === "versioned" ? String(Number(id)) : id
    const other = seen.get(key)
    if (other !== undefined) {
      return Effect.fail(
        new MigrationError({
          reason: "InvalidSource",
          description: `${other.path} and ${entry.path} have the same id`,
          advice: "give the newer one an id of its own, higher than every other"
        })
      )
    }
    seen.set(key, entry)
  }
  return Effect.void
}

const refuseMixedStyles = (entries: ReadonlyArray<Entry>): Effect.Effect<void, MigrationError> => {
  const versioned = entries.filter(({ name }) => name.kind === "versioned")
  const [first] = versioned
  const other = versioned.find(
    ({ name }) => first !== undefined && FileName.styleOf(name.id) !== FileName.styleOf(first.name.id)
  )
  return first === undefined || other === undefined
    ? Effect.void
    : Effect.fail(
        new MigrationError({
          reason: "InvalidSource",
          description: `${first.path} and ${other.path} number migrations in two ways`,
          advice: "use either sequence numbers (0001) or timestamps (20261122153000) in one folder"
        })
      )
}
