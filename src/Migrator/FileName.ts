/**
 * What the name of a file in a migrations folder says.
 */

/** A file name that belongs to a migration. */
export interface FileName {
  readonly file: string
  readonly id: string
  readonly name: string
  readonly kind: "versioned" | "repeatable"
  readonly language: "sql" | "code"
  readonly direction: "up" | "down"
}

/** How ids are chosen; a folder has one style. */
export type IdStyle = "sequence" | "timestamp"

const versioned = /^(\d+)_(.+?)(\.down)?\.(sql|ts|js|mts|mjs)$/
const repeatable = /^R__(.+?)(?<!\.down)\.sql$/

/** The digits of `20261122153000`: a year to a second. */
const timestampDigits = 14

/** Reads a name; `undefined` when it does not follow the pattern. */
export const parse = (file: string): FileName | undefined => {
  const again = repeatable.exec(file)?.[1]
  if (again !== undefined) {
    return { file, id: `R__${again}`, name: again, kind: "repeatable", language: "sql", direction: "up" }
  }
  const [, id, name, down, extension] = versioned.exec(file) ?? []
  if (id === undefined || name === undefined || id.length > timestampDigits) return undefined
  const language = extension === "sql" ? "sql" : "code"
  if (language === "code" && down !== undefined) return undefined
  return { file, id, name, kind: "versioned", language, direction: down === undefined ? "up" : "down" }
}

/** Looks as if it wanted to be a migration, and so must not be passed over in silence. */
export const looksLikeMigration = (file: string): boolean =>
  !file.startsWith(".") && /\.(sql|ts|js|mts|mjs)$/i.test(file) && !/\.d\.m?ts$/i.test(file)

export const styleOf = (id: string): IdStyle => (id.length === timestampDigits ? "timestamp" : "sequence")
