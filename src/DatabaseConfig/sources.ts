/**
 * Where the value of an option can come from, in order: each source is asked, and the first that knows wins.
 */
import * as Either from "effect/Either"
import { DatabaseConfigError } from "./DatabaseConfigError.ts"
import type { Definition } from "./definition.ts"
import type { Profile } from "./profile.ts"
import type { Named } from "./table.ts"
import type { Keywords } from "./url.ts"

/** Text from outside the program. */
export interface Found {
  readonly raw: string
  readonly from: string
  /** Read as libpq reads it. */
  readonly libpq: boolean
}

/** Somewhere to look. `explicit` marks the place of the program's own value in a list of sources. */
export type Source = "explicit" | ((named: Named) => Found | undefined)

/** The variables that were read, by name. */
export type Variables = ReadonlyMap<string, string>

const found = (raw: string | undefined, from: string, libpq: boolean): Found | undefined =>
  // An empty variable counts as absent, as in libpq.
  raw === undefined || raw.length === 0 ? undefined : { raw, from, libpq }

/** Plinth's own variables. */
export const ownVariables =
  (variables: Variables): Source =>
  ({ variable }) =>
    variable === undefined ? undefined : found(variables.get(variable), variable, false)

/** libpq's variables. */
export const libpqVariables =
  (variables: Variables): Source =>
  ({ libpq }) =>
    libpq?.variable === undefined ? undefined : found(variables.get(libpq.variable), libpq.variable, true)

/** A URL or a section of a service file. `label` is shown, with the keyword. */
export const keywords =
  (values: Keywords, label: string): Source =>
  ({ libpq }) =>
    libpq === undefined ? undefined : found(values.get(libpq.keyword), `${label} ${libpq.keyword}`, true)

/** A value and where it came from. */
export interface Resolved<A> {
  readonly value: A
  readonly source: string
  readonly shown: string
  readonly isDefault: boolean
}

/** Asks the sources in order, and falls back on the profile's default. */
export const read = <A, I>(
  option: string,
  definition: Definition<A, I>,
  explicit: I | undefined,
  sources: ReadonlyArray<Source>,
  profile: Profile
): Either.Either<Resolved<A>, DatabaseConfigError> => {
  const resolved = (value: A, source: string, isDefault = false): Resolved<A> => ({
    value,
    source,
    isDefault,
    shown: definition.show(value)
  })
  for (const source of sources) {
    if (source === "explicit") {
      if (explicit === undefined) continue
      return Either.mapBoth(definition.fromInput(explicit), {
        onLeft: (description) => new DatabaseConfigError({ reason: "InvalidValue", option, description }),
        onRight: (value) => resolved(value, "option")
      })
    }
    const text = source(definition)
    if (text === undefined) continue
    const parse = text.libpq ? (definition.fromLibpq ?? definition.fromText) : definition.fromText
    return Either.mapBoth(parse(text.raw), {
      onLeft: (description) =>
        new DatabaseConfigError({ reason: "InvalidValue", option, source: text.from, description }),
      onRight: (value) => resolved(value, text.from)
    })
  }
  return Either.right(resolved(definition.defaultOf(profile), `default of ${profile}`, true))
}
