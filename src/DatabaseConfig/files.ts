/**
 * The files that configuration may point at: password file, service file, certificates. Read through the `FileSystem`
 * of `@effect/platform` where the program provides one, so that configuration itself needs no runtime.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { DatabaseConfigError } from "./DatabaseConfigError.ts"
import type { Keywords } from "./url.ts"

/** Reads a file that an option names; that it cannot be read is a failure. */
export const readFile = Effect.fnUntraced(function* (option: string, source: string, path: string) {
  const fileSystem = yield* Effect.serviceOption(FileSystem.FileSystem)
  if (Option.isNone(fileSystem)) {
    return yield* new DatabaseConfigError({
      reason: "FileUnreadable",
      option,
      source,
      description: `${path} can only be read where FileSystem is provided, for example by NodeContext.layer`
    })
  }
  return yield* fileSystem.value.readFileString(path).pipe(
    Effect.mapError(
      (cause) =>
        new DatabaseConfigError({
          reason: "FileUnreadable",
          option,
          source,
          description: `${path} cannot be read`,
          cause
        })
    )
  )
})

/**
 * The password file's text, or nothing: libpq goes on without a file that is missing, and ignores, with a warning, one
 * that others may read.
 *
 * @see https://www.postgresql.org/docs/current/libpq-pgpass.html
 */
export const readPassfile = Effect.fnUntraced(function* (path: string) {
  const fileSystem = yield* Effect.serviceOption(FileSystem.FileSystem)
  if (Option.isNone(fileSystem)) return undefined
  const info = yield* Effect.option(fileSystem.value.stat(path))
  if (Option.isNone(info) || info.value.type !== "File") return undefined
  // Windows has no such bits and reports 666.
  if ((info.value.mode & 0o077) !== 0 && !/^[a-z]:|\\/i.test(path)) {
    yield* Effect.logWarning(`${path} is ignored: others may read it; chmod 0600 it`)
    return undefined
  }
  return yield* fileSystem.value
    .readFileString(path)
    .pipe(
      Effect.catchAll((error) => Effect.logWarning(`${path} is ignored: ${error.message}`).pipe(Effect.as(undefined)))
    )
})

/** The fields of a password file's line; a backslash takes the next character as it is. */
const fieldsOf = (line: string): ReadonlyArray<string> => {
  const fields = [""]
  for (let index = 0; index < line.length; index++) {
    const character = line[index] ?? ""
    if (character === ":" && fields.length < 5) {
      fields.push("")
    } else {
      const taken = character === "\\" && index + 1 < line.length ? (line[++index] ?? "") : character
      fields[fields.length - 1] += taken
    }
  }
  return fields
}

/** The password of the first line that fits. A Unix socket's directory is `localhost` there. */
export const passwordIn = (
  passfile: string,
  target: { readonly host: string; readonly port: number; readonly database: string; readonly username: string }
): string | undefined => {
  const wanted = [
    target.host.startsWith("/") ? "localhost" : target.host,
    String(target.port),
    target.database,
    target.username
  ]
  for (const line of passfile.split(/\r?\n/)) {
    if (line.trim().length === 0 || line.startsWith("#")) continue
    const fields = fieldsOf(line)
    if (fields.length === 5 && wanted.every((value, index) => fields[index] === "*" || fields[index] === value)) {
      return fields[4]
    }
  }
  return undefined
}

/** The keywords of one section of a service file. https://www.postgresql.org/docs/current/libpq-pgservice.html */
export const serviceIn = (serviceFile: string, name: string): Keywords | undefined => {
  let section: Map<string, string> | undefined
  for (const line of serviceFile.split(/\r?\n/).map((raw) => raw.trim())) {
    if (line.startsWith("[") && line.endsWith("]")) {
      if (section !== undefined) return section
      if (line.slice(1, -1) === name) section = new Map()
    } else if (section !== undefined && line.length > 0 && !line.startsWith("#")) {
      const equals = line.indexOf("=")
      if (equals > 0) section.set(line.slice(0, equals).trim(), line.slice(equals + 1).trim())
    }
  }
  return section
}
