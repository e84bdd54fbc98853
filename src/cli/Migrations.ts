/**
 * The migrations that a command works with: those that the application brings, else those of the folder.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Migrator from "../Migrator.ts"
import { misused } from "./Exit.ts"
import { Extended } from "./Extensions.ts"
import * as standard from "./specs/standardOptions.ts"
import * as Variables from "./Variables.ts"

/** Where they are. */
export const source = (folder: string) =>
  Effect.flatMap(Extended, ({ migrations }) => migrations ?? Migrator.fromFolder(folder))

/** The folder, which must be there. */
export const require = (option: Option.Option<string>) =>
  Effect.gen(function* () {
    const folder = yield* Variables.text(option, standard.dir)
    return (yield* isThere(folder)) ? folder : yield* missing(folder)
  })

/** The folder, or nothing where there is none by the name that is the default. One that was named must be there. */
export const find = (option: Option.Option<string>) =>
  Effect.gen(function* () {
    const named = yield* Variables.given(option, standard.dir)
    const folder = yield* Variables.text(option, standard.dir)
    if (yield* isThere(folder)) return Option.some(folder)
    return Option.isNone(named) ? Option.none() : yield* missing(folder)
  })

/** An application's own migrations need no folder. */
const isThere = (folder: string) =>
  Effect.gen(function* () {
    const { migrations } = yield* Extended
    const fs = yield* FileSystem.FileSystem
    // One that cannot be looked at is left to the source, which says why.
    return migrations !== undefined || (yield* Effect.orElseSucceed(fs.exists(folder), () => true))
  })

const missing = (folder: string) =>
  Effect.flatMap(Path.Path, (path) =>
    misused(
      `There is no folder ${path.resolve(folder)}`,
      `Give --${standard.dir.name} or set ${standard.dir.variable}, or make the first migration: \`plinth migrate create "what it does"\``,
      "the migrations are looked for there"
    )
  )
