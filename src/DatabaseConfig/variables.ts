/**
 * Reads the variables: the one place where configuration comes in from outside, through Effect's `ConfigProvider`.
 */
import * as Config from "effect/Config"
import type * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as HashSet from "effect/HashSet"
import * as Option from "effect/Option"
import { DatabaseConfigError } from "./DatabaseConfigError.ts"
import type { Variables } from "./sources.ts"
import { suggest } from "./suggest.ts"
import type { Named } from "./table.ts"
import { table } from "./table.ts"

const definitions: ReadonlyArray<readonly [option: string, named: Named]> = Object.entries(table)

/** Variables that are not options: they only fill in what libpq would take from the operating system. */
const surroundings = ["NODE_ENV", "USER", "USERNAME", "HOME", "APPDATA", "PGSERVICEFILE", "PGSYSCONFDIR"]

const optionOfVariable: ReadonlyMap<string, string> = new Map(
  definitions.flatMap(([option, { libpq, variable }]) =>
    [variable, libpq?.variable].flatMap((name) => (name === undefined ? [] : [[name, option] as const]))
  )
)

/** All names with the prefix `PLINTH_`. A provider over the environment splits names at the underscore; one over a map does not. */
const plinthNames = (provider: ConfigProvider.ConfigProvider): Effect.Effect<ReadonlyArray<string>> => {
  const walk = (path: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<string>> =>
    provider.flattened.enumerateChildren(path).pipe(
      Effect.orElseSucceed(() => HashSet.empty<string>()),
      Effect.flatMap((children) => {
        const wanted = [...children].filter((child) => path.length > 0 || /^PLINTH(_|$)/.test(child))
        return wanted.length === 0
          ? Effect.succeed(path.length === 0 ? [] : [path.join("_")])
          : Effect.map(
              Effect.forEach(wanted, (child) => walk([...path, child])),
              (names) => names.flat()
            )
      })
    )
  return walk([])
}

const prefix = "PLINTH_"

const withoutPrefix: ReadonlyMap<string, string> = new Map(
  [...optionOfVariable.keys()].flatMap((name) => (name.startsWith(prefix) ? [[name.slice(prefix.length), name]] : []))
)

/** A misspelt variable is a failure; one that resembles nothing may belong to somebody else. */
const refuseMisspelt = Effect.fnUntraced(function* (names: ReadonlyArray<string>) {
  for (const name of names) {
    if (optionOfVariable.has(name)) continue
    const meant = withoutPrefix.get(suggest(name.slice(prefix.length), withoutPrefix.keys()) ?? "")
    if (meant !== undefined) {
      return yield* new DatabaseConfigError({
        reason: "UnknownName",
        option: optionOfVariable.get(meant) ?? meant,
        source: name,
        description: `there is no variable ${name}; did you mean ${meant}?`
      })
    }
  }
})

/** Every variable that an option knows, and that is set. */
export const readVariables: Effect.Effect<Variables, DatabaseConfigError> = Effect.gen(function* () {
  yield* Effect.configProviderWith((provider) => Effect.flatMap(plinthNames(provider), refuseMisspelt))
  const values = new Map<string, string>()
  for (const name of [...optionOfVariable.keys(), ...surroundings]) {
    const value = yield* Config.option(Config.string(name)).pipe(
      Effect.mapError(
        (cause) =>
          new DatabaseConfigError({
            reason: "InvalidValue",
            option: optionOfVariable.get(name) ?? name,
            source: name,
            description: "the variable cannot be read",
            cause
          })
      )
    )
    if (Option.isSome(value)) values.set(name, value.value)
  }
  return values
})
