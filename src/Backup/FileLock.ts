/**
 * A lock that consists of files: one for each process that wants it, which names its owner, so that another process can
 * tell a living owner from a dead one.
 *
 * A process first writes its own file and then looks for others; it holds the lock when it sees no other that may live.
 * Of two that come at once at least one sees the other, so two never hold it. No name is used twice, so the file of a
 * dead process can be removed by anyone at any time.
 */
import type { PlatformError } from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as ProcessIdentity from "../internal/node/ProcessIdentity.ts"
import { BackupError, fromPlatform } from "./BackupError.ts"
import * as Durable from "./Durable.ts"

const Owner = Schema.Struct({
  host: Schema.String,
  pid: Schema.Int,
  incarnation: Schema.String,
  since: Schema.DateTimeUtc,
  /** The cluster and database whose advisory lock the owner holds as well. */
  target: Schema.optional(Schema.String)
})
type Owner = typeof Owner.Type

const OwnerJson = Schema.parseJson(Owner)

/** Where the files of a lock are: `<directory>/<name>.<token>.lock`. */
export interface Place {
  readonly directory: string
  readonly name: string
}

export interface FileLock {
  /** Fails when the lock's file is gone: another process took this one for dead, or a person removed it. */
  readonly confirm: Effect.Effect<void, BackupError>
}

export interface Locks {
  /** Whether the lock is held by a process that may live, only by dead ones, or by none. */
  readonly inspect: (place: Place) => Effect.Effect<"free" | "held" | "abandoned", BackupError>
  /** Holds the lock for a scope, or fails with `AlreadyRunning`. Whatever dead processes have left of it is removed. */
  readonly acquire: (
    place: Place,
    options: { readonly target?: string | undefined; readonly busy: string }
  ) => Effect.Effect<FileLock, BackupError, Scope.Scope>
}

/** A lock file is written within milliseconds; one that is still empty after this was abandoned half-way. */
const writingLimit = Duration.seconds(10)

/** Two that come at once may both step back, and try again at different moments. */
const stepBack = Schedule.spaced("20 millis").pipe(
  Schedule.jitteredWith({ min: 0.5, max: 2 }),
  Schedule.intersect(Schedule.recurs(4))
)

type Verdict = { readonly _tag: "Dead" } | { readonly _tag: "Alive"; readonly by: string; readonly advice: string }

const dead: Verdict = { _tag: "Dead" }

export const make = (fs: FileSystem.FileSystem, path: Path.Path): Locks => {
  const read = (file: string): Effect.Effect<Option.Option<string>, PlatformError> =>
    fs.readFileString(file).pipe(
      Effect.asSome,
      Effect.catchTag("SystemError", (error) => (error.reason === "NotFound" ? Effect.succeedNone : Effect.fail(error)))
    )

  const filesOf = ({ directory, name }: Place): Effect.Effect<ReadonlyArray<string>, PlatformError> =>
    fs.readDirectory(directory).pipe(
      Effect.map((names) =>
        names
          .filter((file) => file.startsWith(`${name}.`) && /^[0-9a-z]+\.lock$/.test(file.slice(name.length + 1)))
          .map((file) => path.join(directory, file))
      ),
      Effect.catchTag("SystemError", (error) => (error.reason === "NotFound" ? Effect.succeed([]) : Effect.fail(error)))
    )

  /** Whoever holds the advisory lock of the same target knows that another owner of it is dead. */
  const judge = (file: string, target: string | undefined): Effect.Effect<Verdict, PlatformError> =>
    Effect.gen(function* () {
      const content = yield* read(file)
      if (Option.isNone(content)) return dead
      const owner = Schema.decodeEither(OwnerJson)(content.value)
      if (Either.isLeft(owner)) {
        const abandoned = Duration.greaterThan(yield* ageOf(file), writingLimit)
        return abandoned
          ? dead
          : { _tag: "Alive", by: "a process that is just starting", advice: "Try again in a moment." }
      }
      const { host, pid, since } = owner.right
      const by = `process ${pid} on ${host}, since ${DateTime.formatIso(since)}`
      switch (yield* ProcessIdentity.look(owner.right)) {
        case "gone":
          return dead
        case "alive":
          return { _tag: "Alive", by, advice: "Wait until it has finished, or end that process." }
        case "elsewhere":
          return target !== undefined && owner.right.target === target
            ? dead
            : { _tag: "Alive", by, advice: `If that process is gone for certain, remove ${file}.` }
      }
    })

  const ageOf = (file: string): Effect.Effect<Duration.Duration, PlatformError> =>
    Effect.gen(function* () {
      const info = yield* fs.stat(file)
      const now = yield* DateTime.now
      return Option.match(info.mtime, {
        onNone: () => Duration.zero,
        onSome: (time) => Duration.millis(Math.max(0, now.epochMillis - time.getTime()))
      })
    })

  const inspect: Locks["inspect"] = (place) =>
    Effect.gen(function* () {
      const files = yield* filesOf(place)
      if (files.length === 0) return "free"
      const verdicts = yield* Effect.forEach(files, (file) => judge(file, undefined), { concurrency: 4 })
      return verdicts.some(({ _tag }) => _tag === "Alive") ? "held" : "abandoned"
    }).pipe(Effect.mapError(fromPlatform(place.directory)))

  const write = (file: string, owner: Owner): Effect.Effect<void, PlatformError> =>
    Effect.scoped(
      Effect.gen(function* () {
        const handle = yield* Durable.create(fs, file)
        yield* handle.write(new TextEncoder().encode(Schema.encodeSync(OwnerJson)(owner)))
        yield* handle.sync
      })
    )

  const acquire: Locks["acquire"] = (place, { busy, target }) => {
    /** Every other file of this lock is looked at, and those of the dead are removed. */
    const others = (own: string): Effect.Effect<Option.Option<BackupError>, PlatformError> =>
      Effect.gen(function* () {
        let found = Option.none<BackupError>()
        for (const file of yield* filesOf(place)) {
          if (file === own) continue
          const verdict = yield* judge(file, target)
          if (verdict._tag === "Dead") yield* fs.remove(file, { force: true })
          else {
            const description = `${busy} by ${verdict.by}`
            found = Option.some(
              new BackupError({ reason: "AlreadyRunning", path: file, description, advice: verdict.advice })
            )
          }
        }
        return found
      })

    const attempt = Effect.gen(function* () {
      const token = (yield* Random.nextIntBetween(0, Number.MAX_SAFE_INTEGER)).toString(36)
      const file = path.join(place.directory, `${place.name}.${token}.lock`)
      const identity = yield* ProcessIdentity.current
      yield* Effect.gen(function* () {
        yield* write(file, { ...identity, since: yield* DateTime.now, target })
        const other = yield* others(file)
        if (Option.isSome(other)) return yield* other.value
      }).pipe(Effect.onError(() => remove(file)))
      return file
    }).pipe(
      Effect.mapError((error) => (error._tag === "BackupError" ? error : fromPlatform(place.directory)(error))),
      Effect.retry({ schedule: stepBack, while: (error) => error.reason === "AlreadyRunning" })
    )

    return Effect.map(Effect.acquireRelease(attempt, remove), (file) => ({
      confirm: fs.exists(file).pipe(
        Effect.mapError(fromPlatform(file)),
        Effect.filterOrFail(
          (exists) => exists,
          () =>
            new BackupError({
              reason: "AlreadyRunning",
              path: file,
              description: `the lock ${file} is gone: another process took this one for dead, or a person removed it`,
              advice: "Run it again when nothing else works in this directory."
            })
        ),
        Effect.asVoid
      )
    }))
  }

  const remove = (file: string): Effect.Effect<void> =>
    fs
      .remove(file, { force: true })
      .pipe(
        Effect.catchAll((error) =>
          Effect.logWarning("a lock file could not be removed", { file, error: error.message })
        )
      )

  return { inspect, acquire }
}
