/**
 * Where an entry of an archive belongs in a data directory, or why it is refused: nothing leads out of it, and symbolic
 * links are tablespaces.
 */
import * as Either from "effect/Either"
import type { Archive } from "./BackupManifest.ts"
import { TarError } from "./TarReader.ts"
import type { TarEntry } from "./TarReader.ts"

export type Placement =
  | {
      readonly _tag: "File" | "Directory"
      /** Below the restored data directory. An empty list is the directory itself. */
      readonly parts: ReadonlyArray<string>
      /** As PostgreSQL's manifest calls it. */
      readonly name: string
    }
  | { readonly _tag: "TablespaceLink"; readonly oid: number; readonly target: string }

/**
 * Tablespaces go below the data directory itself, so that one rename brings everything into place. PostgreSQL takes
 * such a directory for the tablespace that it is when it is backed up again.
 */
export const tablespaceParts = (oid: number): ReadonlyArray<string> => ["plinth_tablespaces", String(oid)]

export const place = (
  archive: Archive,
  archives: ReadonlyArray<Archive>,
  entry: TarEntry
): Either.Either<Placement, TarError> =>
  Either.flatMap(namesOf(entry.path), (names): Either.Either<Placement, TarError> => {
    const { tablespace } = archive
    if (entry.type === "symlink") return tablespaceLink(names, archives, entry)
    if (tablespace === undefined && names[0] === "pg_tblspc" && names.length > 1) {
      return refuse(entry.path, "is in a tablespace and in the archive of the data directory")
    }
    if (entry.type === "file" && names.length === 0) return refuse(entry.path, "is the data directory and a file")
    const below = tablespace === undefined ? names : ["pg_tblspc", String(tablespace.oid), ...names]
    const parts = tablespace === undefined ? names : [...tablespaceParts(tablespace.oid), ...names]
    return Either.right({ _tag: entry.type === "file" ? "File" : "Directory", parts, name: below.join("/") })
  })

const refuse = (path: string, why: string): Either.Either<never, TarError> =>
  Either.left(new TarError({ description: `the entry ${JSON.stringify(path)} ${why}` }))

const namesOf = (path: string): Either.Either<ReadonlyArray<string>, TarError> => {
  if (path.startsWith("/") || /^[A-Za-z]:/.test(path)) return refuse(path, "is an absolute path")
  if (path.includes("\\")) return refuse(path, "contains a backslash")
  const names = path.split("/").filter((name) => name !== "" && name !== ".")
  return names.includes("..") ? refuse(path, "leads out of the data directory") : Either.right(names)
}

/** PostgreSQL sends links in pg_tblspc and nowhere else, and for each of them an archive. */
const tablespaceLink = (
  names: ReadonlyArray<string>,
  archives: ReadonlyArray<Archive>,
  entry: TarEntry
): Either.Either<Placement, TarError> => {
  const oid = /^pg_tblspc\/(\d+)$/.exec(names.join("/"))?.[1]
  if (oid === undefined) return refuse(entry.path, "is a symbolic link, and not one of a tablespace")
  return archives.some(({ tablespace }) => tablespace?.oid === Number(oid))
    ? Either.right({ _tag: "TablespaceLink", oid: Number(oid), target: entry.linkTarget })
    : refuse(entry.path, "is a tablespace without an archive")
}
