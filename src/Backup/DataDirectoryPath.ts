/**
 * Which paths of an archive may be written below a new data directory: those that cannot lead out of it.
 */
import * as Either from "effect/Either"
import { TarError } from "./TarReader.ts"
import type { TarEntry } from "./TarReader.ts"

const tablespaceLink = /^pg_tblspc\/(\d+)$/

/** The parts of a path below the data directory, or why it is refused. An empty list is the directory itself. */
export const parts = (path: string): Either.Either<ReadonlyArray<string>, TarError> => {
  const refuse = (why: string) => Either.left(new TarError({ description: `the path ${JSON.stringify(path)} ${why}` }))
  if (path.startsWith("/") || /^[A-Za-z]:/.test(path)) return refuse("is absolute")
  if (path.includes("\\")) return refuse("contains a backslash")
  const names = path.split("/").filter((name) => name !== "" && name !== ".")
  return names.includes("..") ? refuse("leads out of the data directory") : Either.right(names)
}

/** The tablespace that a symbolic link stands for. PostgreSQL sends links in pg_tblspc and nowhere else. */
export const tablespaceOf = (link: TarEntry): Either.Either<number, TarError> => {
  const oid = tablespaceLink.exec(link.path.replace(/^\.\//, ""))?.[1]
  return oid === undefined
    ? Either.left(
        new TarError({ description: `${JSON.stringify(link.path)} is a symbolic link, and not one of a tablespace` })
      )
    : Either.right(Number(oid))
}
