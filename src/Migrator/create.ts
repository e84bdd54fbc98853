/**
 * Makes a new, empty migration file in a folder, named in the folder's own style.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { makeDirectories } from "../internal/makeDirectories.ts"
import * as FileName from "./FileName.ts"
import { MigrationError } from "./MigrationError.ts"

/**
 * @since 0.1.0
 * @category options
 */
export interface CreateOptions {
  readonly folder: string
  /** What it does, in words: `add email to users`. */
  readonly name: string
  /** @default "sql" */
  readonly kind?: "sql" | "ts" | "repeatable" | undefined
  /**
   * How ids are chosen in a folder that has none yet.
   *
   * @default "sequence"
   */
  readonly style?: FileName.IdStyle | undefined
}

/** Four digits are enough for a life, and sort well in a listing. */
const sequenceDigits = 4

const templates = {
  sql: (title: string) => `-- ${title}\n\n\n-- plinth:down\n`,
  repeatable: (title: string) =>
    `-- ${title}\n-- Runs again whenever its content changes: write CREATE OR REPLACE.\n\n`,
  ts: (title: string) => `import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import { Migration } from "effect-plinth/Migrator"

// ${title}
export default Migration.make({
  up: Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql\`SELECT 1\`
  }),
  down: Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql\`SELECT 1\`
  })
})
`
} as const

/**
 * Writes the file and returns its path. An existing file is never overwritten.
 *
 * @since 0.1.0
 * @category constructors
 */
export const create = Effect.fn("Migrator.create")(function* (
  options: CreateOptions
): Effect.fn.Return<string, MigrationError, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const kind = options.kind ?? "sql"
  const title = options.name.trim()
  const slug = title
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "_")
    .replace(/^_+|_+$/g, "")
  if (slug === "") {
    return yield* new MigrationError({
      reason: "InvalidSource",
      description: `${JSON.stringify(options.name)} names no migration`,
      advice: "say in a few words what it does, as in: add email to users"
    })
  }
  const unusable = (cause: { readonly message: string }) =>
    new MigrationError({
      reason: "InvalidSource",
      description: `no migration can be made in ${options.folder}: ${cause.message}`,
      advice: "check the path and its permissions",
      cause
    })
  const write = Effect.gen(function* () {
    yield* makeDirectories(fs, path, options.folder)
    const names = (yield* fs.readDirectory(options.folder)).map(FileName.parse).filter((name) => name !== undefined)
    const prefix = kind === "repeatable" ? "R_" : yield* nextId(names, options.style ?? "sequence")
    const file = path.join(options.folder, `${prefix}_${slug}.${kind === "ts" ? "ts" : "sql"}`)
    yield* fs.writeFileString(file, templates[kind](title), { flag: "wx" })
    return file
  })
  return yield* Effect.mapError(write, unusable)
})

/** One more than the highest, or now, in the style and width that the folder has. */
const nextId = (names: ReadonlyArray<FileName.FileName>, style: FileName.IdStyle): Effect.Effect<string> =>
  Effect.map(DateTime.now, (now) => {
    const ids = names.filter(({ kind }) => kind === "versioned").map(({ id }) => id)
    const [first] = ids
    const highest = ids.reduce((max, id) => Math.max(max, Number(id)), 0)
    if ((first === undefined ? style : FileName.styleOf(first)) === "timestamp") {
      const stamp = DateTime.formatIso(now).replace(/\D/g, "").slice(0, 14)
      return String(Math.max(Number(stamp), highest + 1))
    }
    const width = Math.max(sequenceDigits, ...ids.map((id) => id.length))
    return String(highest + 1).padStart(width, "0")
  })
