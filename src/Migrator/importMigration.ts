/**
 * Imports a migration that is a program.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { isMigration } from "./Migration.ts"
import type { Migration } from "./Migration.ts"
import { MigrationError } from "./MigrationError.ts"

const codeOf = (error: unknown): unknown => (Predicate.hasProperty(error, "code") ? error.code : undefined)

/** Imports a module and takes its default export. */
export const importMigration = Effect.fnUntraced(function* (
  file: string,
  url: string
): Effect.fn.Return<Migration, MigrationError> {
  const module = yield* Effect.tryPromise({
    try: (): Promise<unknown> => import(/* @vite-ignore */ url),
    catch: (cause) =>
      codeOf(cause) === "ERR_UNKNOWN_FILE_EXTENSION"
        ? new MigrationError({
            reason: "ImportFailed",
            description: `${file} is TypeScript, which this Node does not run by itself`,
            advice:
              "install tsx and run with NODE_OPTIONS='--import tsx', use Node 22.18 or newer, or write it as a .js file",
            cause
          })
        : new MigrationError({
            reason: "ImportFailed",
            description: `${file} cannot be imported: ${cause instanceof Error ? cause.message : String(cause)}`,
            advice: "correct the error in the file or in what it imports",
            cause
          })
  })
  const exported = Predicate.hasProperty(module, "default") ? module.default : undefined
  // A loader that turns modules into CommonJS wraps the default export once more.
  const migration = Predicate.hasProperty(exported, "default") ? exported.default : exported
  if (isMigration(migration)) return migration
  return yield* new MigrationError({
    reason: "ImportFailed",
    description: `${file} does not export a migration`,
    advice: "write: export default Migration.make({ up, down })"
  })
})
