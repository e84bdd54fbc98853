/**
 * Reads the text of a SQL file: directives, the up and the down section, and the statements with where they stand.
 */
import * as Either from "effect/Either"
import * as SqlText from "../SqlText.ts"
import { boundaryOf } from "./Boundary.ts"
import * as Directives from "./Directives.ts"
import { excerpt, placeOf } from "./Excerpt.ts"
import type { Script, Statement } from "./MigrationFile.ts"
import { MigrationError } from "./MigrationError.ts"

/** What a SQL file consists of. */
export interface Sections {
  readonly up: Script
  readonly down: Script | undefined
  readonly downText: string | undefined
}

/** Reads a file that holds the up script and maybe a down section; `text` is normalised. */
export const readSections = (file: string, text: string): Either.Either<Sections, MigrationError> =>
  Either.gen(function* () {
    const cut = Directives.downSection(text)
    if (cut === undefined) return { up: yield* readScript(file, text), down: undefined, downText: undefined }
    const up = yield* readScript(file, text.slice(0, cut))
    // The up section becomes white space, so that offsets, lines and columns are those of the file.
    const section = text.slice(0, cut).replace(/[^\n]/g, " ") + text.slice(cut)
    const down = yield* readScript(file, section, up.directives)
    // An empty section is a template that nobody filled in, not a migration that needs nothing to be taken back.
    if (down.statements.length === 0) return { up: { ...up, text }, down: undefined, downText: undefined }
    return { up: { ...up, text }, down: { ...down, text }, downText: text.slice(cut) }
  })

/** Reads a file that is one script; `text` is normalised. */
export const readScript = (
  file: string,
  text: string,
  inherited?: Directives.Directives
): Either.Either<Script, MigrationError> =>
  Directives.parse(text, inherited).pipe(
    Either.mapLeft(
      ({ advice, description, offset }) =>
        new MigrationError({
          reason: "InvalidDirective",
          description,
          advice,
          location: { file, ...placeOf(text, offset) },
          excerpt: excerpt(text, offset)
        })
    ),
    Either.map((directives) => ({
      _tag: "Script" as const,
      file,
      text,
      directives,
      statements: SqlText.statements(text).map(toStatement)
    }))
  )

const toStatement = ({ column, line, start, text }: SqlText.Statement, index: number): Statement => {
  const normalized = SqlText.normalize(text)
  return { number: index + 1, text, normalized, offset: start, line, column, boundary: boundaryOf(normalized) }
}
