/**
 * Directories that are there only while a scope is open, or while this process lives.
 */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import { statfsSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"
import type { ServerAccount } from "./ServerAccount.ts"
import * as Account from "./ServerAccount.ts"
import * as Variable from "./Variable.ts"
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

const gigabyte = 1024 ** 3
const memoryDirectory = "/dev/shm"
const tmpfsMagic = 0x01021994

// In memory a cluster of a primary and two replicas is copied, started and removed with a tenth of the system time
// (0.07 s against 0.75 s per copy on ext4), and survives a crash no less, since it runs without fsync. Only where there is
// plenty: containers get 64 MB of it, or a memory limit below its size.
const hasPlentyOfMemory = Effect.try(() => {
  const { bavail, bsize, type } = statfsSync(memoryDirectory)
  return type === tmpfsMagic && bavail * bsize > 4 * gigabyte && process.availableMemory() > 4 * gigabyte
}).pipe(Effect.orElseSucceed(() => false))

const parents = Effect.gen(function* () {
  const chosen = yield* Variable.read("TMPDIR")
  const memory = (yield* hasPlentyOfMemory) ? [memoryDirectory] : []
  return [...new Set([...Option.toArray(chosen), ...memory, tmpdir(), "/tmp", "/var/tmp"])]
})

/** The same for throw-away servers: in TMPDIR, else in memory, else in the first directory that the account can enter. */
export const makeForServers = (
  watchdog: Watchdog,
  account: ServerAccount
): Effect.Effect<string, EmbeddedPostgresError, FileSystem.FileSystem | Scope.Scope> =>
  Effect.flatMap(parents, (paths) =>
    Effect.filter(paths, (path) => Account.canEnter(account, path)).pipe(
      Effect.filterOrFail((enterable) => enterable.length > 0),
      Effect.flatMap((enterable) =>
        Effect.firstSuccessOf(enterable.map((parent) => make(watchdog, parent, "plinth-pg")))
      ),
      Effect.mapError(
        () =>
          new EmbeddedPostgresError({
            reason: "DirectoryUnreachable",
            operation: "make a temporary directory",
            description: `none of ${paths.join(", ")} can be written by us and entered by ${account.name}`
          })
      )
    )
  )
