/**
 * Who uses a persistent cluster, and whose turn it is to start or stop its servers: files that name a process by pid and
 * start time, so that what a killed process left behind is recognised.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Arr from "effect/Array"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { randomBytes } from "node:crypto"
import { dirname, join } from "node:path"
import { makeDirectories } from "../internal/makeDirectories.ts"
import { EmbeddedPostgresError, fromPlatform } from "./EmbeddedPostgresError.ts"
import * as ProcessTable from "./ProcessTable.ts"

/** `pid_start_nonce`. One process may use the same cluster twice, hence the nonce. */
export const makeIdentity: Effect.Effect<string> = Effect.sync(() => {
  const start = Option.getOrElse(ProcessTable.startedAt(process.pid), () => "unknown")
  return `${process.pid}_${start}_${randomBytes(4).toString("hex")}`
})

const isLive = (identity: string): boolean => {
  const [pid, start] = identity.split("_")
  return Option.contains(ProcessTable.startedAt(Number(pid)), start)
}

export const lockFile = (directory: string): string => join(directory, "lock")

const usersDirectory = (directory: string): string => join(directory, "users")

/** The file that counts us among the users. */
export const entry = (directory: string, identity: string): string => join(usersDirectory(directory), identity)

/** Counts this process among the users. */
export const enter = (
  directory: string,
  identity: string
): Effect.Effect<void, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    yield* makeDirectories(fs, { dirname }, usersDirectory(directory))
    yield* fs.writeFileString(entry(directory, identity), "")
  }).pipe(Effect.mapError(fromPlatform("join the cluster's users")))

/** Ends our use; true when nobody else is left. Entries of dead processes go too. */
export const leave = (
  directory: string,
  identity: string
): Effect.Effect<boolean, EmbeddedPostgresError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    yield* fs.remove(entry(directory, identity), { force: true })
    const [gone, others] = Arr.partition(yield* fs.readDirectory(usersDirectory(directory)), isLive)
    yield* Effect.forEach(gone, (name) => fs.remove(entry(directory, name), { force: true }), { discard: true })
    return others.length === 0
  }).pipe(Effect.mapError(fromPlatform("leave the cluster's users")))

// A link appears at once and with its content, and only one process can make it.
const take = (directory: string, identity: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const mine = join(directory, `lock.${identity}`)
    yield* fs.writeFileString(mine, identity)
    return yield* fs.link(mine, lockFile(directory)).pipe(
      Effect.as(true),
      Effect.catchTag("SystemError", (error) =>
        error.reason === "AlreadyExists" ? Effect.succeed(false) : Effect.fail(error)
      ),
      Effect.ensuring(Effect.ignore(fs.remove(mine)))
    )
  })

const holder = (directory: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.option(fs.readFileString(lockFile(directory))))

// Two processes may find the same dead holder. Only the one that makes the directory named after it may remove its lock,
// and only after a second look: the lock may be a new one by then.
const breakStale = (directory: string, dead: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const claim = join(directory, `break.${dead}`)
    yield* Effect.acquireUseRelease(
      fs.makeDirectory(claim),
      () =>
        Effect.flatMap(holder(directory), (now) =>
          Option.contains(now, dead) ? fs.remove(lockFile(directory)) : Effect.void
        ),
      () => Effect.ignore(fs.remove(claim, { recursive: true }))
    )
  }).pipe(Effect.ignore)

const acquire = (directory: string, identity: string, patience: Duration.Duration) =>
  Effect.gen(function* () {
    if (yield* take(directory, identity)) return true
    const current = yield* holder(directory)
    if (Option.isSome(current) && !isLive(current.value)) yield* breakStale(directory, current.value)
    return false
  }).pipe(
    Effect.repeat({ until: (taken) => taken, schedule: Schedule.spaced("20 millis").pipe(Schedule.upTo(patience)) }),
    Effect.zipRight(holder(directory)),
    Effect.mapError(fromPlatform("lock the cluster")),
    Effect.flatMap((current) =>
      Option.contains(current, identity)
        ? Effect.void
        : Effect.fail(
            new EmbeddedPostgresError({
              reason: "InUse",
              operation: "lock the cluster",
              description: Option.match(current, {
                onNone: () => `it was in other hands for ${Duration.format(patience)}`,
                onSome: (other) =>
                  `process ${other.split("_")[0]} has been starting or stopping it for ${Duration.format(patience)}`
              }),
              path: lockFile(directory)
            })
          )
    )
  )

const release = (directory: string, identity: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    if (Option.contains(yield* holder(directory), identity)) yield* Effect.ignore(fs.remove(lockFile(directory)))
  })

/** Runs the effect while no other process starts or stops servers of this cluster. */
export const withLock = <A, E, R>(
  directory: string,
  identity: string,
  patience: Duration.Duration,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | EmbeddedPostgresError, R | FileSystem.FileSystem> =>
  acquire(directory, identity, patience).pipe(Effect.zipRight(effect), Effect.ensuring(release(directory, identity)))
