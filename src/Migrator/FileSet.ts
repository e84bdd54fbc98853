/**
 * Makes a set of migrations of the files that were found: pairs the ways up and down, and refuses sets without a clear order.
 */
import * as Effect from "effect/Effect"
import * as Sha256 from "../internal/node/Sha256.ts"
import * as SqlText from "../SqlText.ts"
import * as Directives from "./Directives.ts"
import * as FileName from "./FileName.ts"
import type { Migration } from "./Migration.ts"
import type { Code, MigrationFile } from "./MigrationFile.ts"
import { byId } from "./MigrationFile.ts"
import { MigrationError } from "./MigrationError.ts"
import { readScript, readSections } from "./Script.ts"

/** A file as it was found. */
export interface Entry {
  readonly name: FileName.FileName
  /** As it is shown in messages. */
  readonly path: string
  readonly text: string
  readonly load: Effect.Effect<Migration, MigrationError>
}

/** Pairs up and down files, and refuses sets that have no clear order. */
export const assemble = Effect.fnUntraced(function* (entries: ReadonlyArray<Entry>) {
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
    files.push(yield* entry.name.language === "sql" ? readSql(entry, downs.get(key)) : readCode(entry, downs.get(key)))
    downs.delete(key)
  }
  const [orphan] = downs.values()
  if (orphan !== undefined) {
    return yield* new MigrationError({
      reason: "InvalidSource",
      description: `${orphan.path} has no ${orphan.name.id}_${orphan.name.name}.sql, .ts or .js beside it`,
      advice: "give both files the same id and name, or delete it"
    })
  }
  const versioned = files.filter(({ kind }) => kind === "versioned").sort(byId)
  const repeatable = files.filter(({ kind }) => kind === "repeatable").sort((a, b) => (a.id < b.id ? -1 : 1))
  return [...versioned, ...(yield* inOrder(repeatable))]
})

/** Repeatable ones by name, except that what one `depends` on comes before it. */
const inOrder = Effect.fnUntraced(function* (
  files: ReadonlyArray<MigrationFile>
): Effect.fn.Return<ReadonlyArray<MigrationFile>, MigrationError> {
  const ordered: Array<MigrationFile> = []
  let left = files
  while (left.length > 0) {
    const waiting = new Set(left.map(({ id }) => id))
    const next = left.find(({ directives }) => !directives.depends.some((id) => waiting.has(id)))
    if (next === undefined) {
      return yield* new MigrationError({
        reason: "InvalidSource",
        description: `${left.map(({ file }) => file).join(", ")} depend on one another in a circle`,
        advice: "remove one of their depends directives, or put them into one file"
      })
    }
    ordered.push(next)
    left = left.filter((file) => file !== next)
  }
  return ordered
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

/**
 * Any edit of a program counts, since its meaning cannot be seen. Its own down is known once it is imported; a script
 * beside it comes first, which can be written after the program was applied.
 */
const readCode = Effect.fnUntraced(function* ({ load, name, path, text }: Entry, beside: Entry | undefined) {
  const code: Code = { _tag: "Code", file: path, load }
  const checksum = Sha256.hex(text)
  const file: MigrationFile = {
    id: name.id,
    name: name.name,
    file: path,
    kind: name.kind,
    text,
    rawChecksum: checksum,
    semanticChecksum: checksum,
    directives: Directives.none,
    up: code,
    down: beside === undefined ? code : yield* readScript(beside.path, beside.text),
    downText: beside?.text
  }
  return file
})

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
