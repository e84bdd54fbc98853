/**
 * Directories that are there only while a scope is open, or while this process lives.
 */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"
import type { ServerAccount } from "./ServerAccount.ts"
import * as Account from "./ServerAccount.ts"
import type { Watchdog } from "./Watchdog.ts"
import { addDirectory, keepDirectory } from "./Watchdog.ts"

const remove = (path: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => fs.remove(path, { recursive: true, force: true })).pipe(
    // A server that is just ending may still write a file.
    Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.intersect(Schedule.recurs(5)))),
    Effect.ignoreLogged
  )

/** Makes an empty directory that anyone may enter and only we may write. What was renamed in time is kept. */
export const make = (
  watchdog: Watchdog,
  parent: string,
  prefix: string
): Effect.Effect<string, PlatformError, FileSystem.FileSystem | Scope.Scope> =>
  Effect.acquireRelease(
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = join(parent, `${prefix}-${randomBytes(6).toString("hex")}`)
      // The watchdog knows it before it is there: a kill between the two must not leave it.
      yield* addDirectory(watchdog, path)
      yield* fs.makeDirectory(path)
      yield* fs.chmod(path, 0o755)
      return path
    }),
    (path) => Effect.zipRight(remove(path), keepDirectory(watchdog, path))
  )

/** The same below the first of the system's temporary directories that the account can enter. */
export const makeForServers = (
  watchdog: Watchdog,
  account: ServerAccount
): Effect.Effect<string, EmbeddedPostgresError, FileSystem.FileSystem | Scope.Scope> => {
  const parents = [...new Set([tmpdir(), "/tmp", "/var/tmp"])]
  const unreachable = new EmbeddedPostgresError({
    reason: "DirectoryUnreachable",
    operation: "make a temporary directory",
    description: `none of ${parents.join(", ")} can be written by us and entered by ${account.name}`
  })
  return Effect.filter(parents, (path) => Account.canEnter(account, path)).pipe(
    Effect.filterOrFail((enterable) => enterable.length > 0),
    Effect.flatMap((enterable) =>
      Effect.firstSuccessOf(enterable.map((parent) => make(watchdog, parent, "plinth-pg")))
    ),
    Effect.mapError(() => unreachable)
  )
}
