/**
 * Where cluster templates and copies of binaries are kept between runs: a directory that this user owns and the server
 * account can enter.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { homedir, tmpdir } from "node:os"
import { dirname, join, resolve } from "node:path"
import { makeDirectories } from "../internal/makeDirectories.ts"
import { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"
import type { ServerAccount } from "./ServerAccount.ts"
import * as Account from "./ServerAccount.ts"
import * as Variable from "./Variable.ts"

// Root's own home is closed to the server account, and a directory below /tmp loses old files to cleaners: so the cache
// of the machine or of the user first, /tmp last.
const candidates = (account: ServerAccount) =>
  Effect.map(Effect.all([Variable.read("PLINTH_CACHE_DIR"), Variable.read("XDG_CACHE_HOME")]), ([chosen, cacheHome]) =>
    Option.match(chosen, {
      // Whoever has chosen one does not look for what is kept there anywhere else.
      onSome: (directory) => [directory],
      onNone: () => [
        ...(account.switched
          ? ["/var/cache/plinth-embedded"]
          : [
              join(
                Option.getOrElse(cacheHome, () => join(homedir(), ".cache")),
                "plinth-embedded"
              )
            ]),
        ...[tmpdir(), "/tmp", "/var/tmp"].map((directory) =>
          join(directory, `plinth-embedded-${process.getuid?.() ?? 0}`)
        )
      ]
    })
  )

// Anyone may make a directory of this name in /tmp: only one that we own and that no other account can write is used.
const usable = (account: ServerAccount, directory: string): Effect.Effect<boolean, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    yield* makeDirectories(fs, { dirname }, resolve(directory), { mode: 0o755 })
    const [real, info] = yield* Effect.all([fs.realPath(directory), fs.stat(directory)])
    const owned = process.getuid === undefined || Option.contains(info.uid, process.getuid())
    if (!owned || (info.mode & 0o022) !== 0) return false
    yield* fs.access(real, { writable: true })
    return yield* Account.canEnter(account, real)
  }).pipe(Effect.orElseSucceed(() => false))

/** PLINTH_CACHE_DIR, else the first usable one of the machine's or user's cache and the temporary directories. */
export const find = (account: ServerAccount): Effect.Effect<string, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const paths = yield* candidates(account)
    return yield* Effect.findFirst(paths, (path) => usable(account, path)).pipe(
      Effect.flatten,
      Effect.mapError(
        () =>
          new EmbeddedPostgresError({
            reason: "DirectoryUnreachable",
            operation: "choose a cache directory",
            description:
              (paths.length === 1 ? `PLINTH_CACHE_DIR=${paths[0]} cannot` : `none of ${paths.join(", ")} can`) +
              ` be made or written by us, with no other account writing there, and entered by ${account.name}`
          })
      )
    )
  })
