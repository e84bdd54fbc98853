/**
 * The migrations that a command works with: those that the application brings, else those of the folder.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Migrator from "../Migrator.ts"
import { Extended } from "./Extensions.ts"

/** Where they are. */
export const source = (folder: string) =>
  Effect.flatMap(Extended, ({ migrations }) => migrations ?? Migrator.fromFolder(folder))

/** There are some: a folder that is not there is none, and no error. */
export const exist = (folder: string) =>
  Effect.gen(function* () {
    const { migrations } = yield* Extended
    const fs = yield* FileSystem.FileSystem
    return migrations !== undefined || (yield* Effect.orElseSucceed(fs.exists(folder), () => false))
  })
