/**
 * A lock that is a file: it names its owner, so that another process can tell a living one from a dead one.
 */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as ProcessIdentity from "../internal/node/ProcessIdentity.ts"
import { BackupError, fromPlatform } from "./BackupError.ts"

const Owner = Schema.Struct({
  host: Schema.String,
  pid: Schema.Int,
  incarnation: Schema.String,
  since: Schema.DateTimeUtc,
  /** The cluster and database whose advisory lock the owner holds as well. */
  target: Schema.optional(Schema.String),
  token: Schema.String
})
type Owner = typeof Owner.Type

const OwnerJson = Schema.parseJson(Owner)

export interface FileLock {
  /** Fails when another process has taken the lock over, which it does only after it found this one dead. */
  readonly confirm: Effect.Effect<void, BackupError>
}

/** A lock file is written within milliseconds; one that is still empty after this was abandoned half-way. */
const writingLimitMillis = 10_000

type Verdict =
  | { readonly _tag: "Free" }
  | { readonly _tag: "Abandoned"; readonly content: string }
  | { readonly _tag: "Held"; readonly by: string; readonly advice: string }

const read = (fs: FileSystem.FileSystem, path: string): Effect.Effect<Option.Option<string>, PlatformError> =>
  fs.readFileString(path).pipe(
    Effect.asSome,
    Effect.catchTag("SystemError", (error) => (error.reason === "NotFound" ? Effect.succeedNone : Effect.fail(error)))
  )

/** Who holds the lock, if anyone. Whoever holds the advisory lock of the same target knows that its owner is dead. */
const judge = (
  fs: FileSystem.FileSystem,
  path: string,
  target: string | undefined
): Effect.Effect<Verdict, PlatformError> =>
  Effect.gen(function* () {
    const content = yield* read(fs, path)
    if (Option.isNone(content)) return { _tag: "Free" }
    const abandoned: Verdict = { _tag: "Abandoned", content: content.value }
    const owner = Schema.decodeEither(OwnerJson)(content.value)
    if (Either.isLeft(owner)) {
      const age = yield* ageMillis(fs, path)
      return age > writingLimitMillis
        ? abandoned
        : { _tag: "Held", by: `a process that is just writing ${path}`, advice: "Try again in a moment." }
    }
    const { host, pid, since } = owner.right
    const by = `process ${pid} on ${host}, since ${DateTime.formatIso(since)}`
    switch (yield* ProcessIdentity.look(owner.right)) {
      case "gone":
        return abandoned
      case "alive":
        return { _tag: "Held", by, advice: "Wait until it has finished, or end that process." }
      case "elsewhere":
        return target !== undefined && owner.right.target === target
          ? abandoned
          : { _tag: "Held", by, advice: `If that process is gone for certain, remove ${path}.` }
    }
  })

const ageMillis = (fs: FileSystem.FileSystem, path: string): Effect.Effect<number, PlatformError> =>
  Effect.gen(function* () {
    const info = yield* fs.stat(path)
    const now = yield* DateTime.now
    return Option.match(info.mtime, { onNone: () => 0, onSome: (time) => now.epochMillis - time.getTime() })
  })

/** Whether a dead process holds the lock (`abandoned`), a living one or none. */
export const inspect = (
  fs: FileSystem.FileSystem,
  path: string
): Effect.Effect<"free" | "held" | "abandoned", BackupError> =>
  judge(fs, path, undefined).pipe(
    Effect.map((verdict) => (verdict._tag === "Free" ? "free" : verdict._tag === "Held" ? "held" : "abandoned")),
    Effect.mapError(fromPlatform(path))
  )

/**
 * Holds the lock for a scope, or fails with `AlreadyRunning`.
 *
 * Two processes that find the same dead owner at the same moment could both believe to have taken over: the one that
 * lost notices in `confirm`, before it publishes anything.
 */
export const acquire = (
  fs: FileSystem.FileSystem,
  options: { readonly path: string; readonly target?: string | undefined; readonly busy: string }
): Effect.Effect<FileLock, BackupError, Scope.Scope> => {
  const { busy, path, target } = options

  const write = (content: string): Effect.Effect<boolean, PlatformError> =>
    Effect.scoped(
      Effect.gen(function* () {
        const file = yield* fs.open(path, { flag: "wx", mode: 0o600 })
        yield* file.writeAll(new TextEncoder().encode(content)).pipe(
          Effect.zipRight(file.sync),
          Effect.onError(() => Effect.ignore(fs.remove(path)))
        )
        return true
      })
    ).pipe(
      Effect.catchTag("SystemError", (error) =>
        error.reason === "AlreadyExists" ? Effect.succeed(false) : Effect.fail(error)
      )
    )

  const alreadyRunning = (by: string, advice: string): BackupError =>
    new BackupError({ reason: "AlreadyRunning", path, description: `${busy} by ${by}`, advice })

  /** Moves the file of a dead owner aside. A living owner's, taken by mistake, is put back. */
  const takeOver = (expected: string, token: string): Effect.Effect<void, PlatformError> =>
    Effect.gen(function* () {
      const aside = `${path}.${token}`
      yield* fs.rename(path, aside)
      const content = yield* fs.readFileString(aside)
      yield* content === expected ? fs.remove(aside) : fs.rename(aside, path)
    }).pipe(Effect.catchTag("SystemError", (error) => (error.reason === "NotFound" ? Effect.void : Effect.fail(error))))

  const attempt = (owner: Owner, triesLeft: number): Effect.Effect<void, BackupError | PlatformError> =>
    Effect.gen(function* () {
      if (yield* write(Schema.encodeSync(OwnerJson)(owner))) return
      const verdict = yield* judge(fs, path, target)
      if (verdict._tag === "Held") return yield* alreadyRunning(verdict.by, verdict.advice)
      if (triesLeft === 0) return yield* alreadyRunning("several other processes", "Try again in a moment.")
      if (verdict._tag === "Abandoned") yield* takeOver(verdict.content, owner.token)
      yield* attempt(owner, triesLeft - 1)
    })

  const isOwn = (owner: Owner): Effect.Effect<boolean, PlatformError> =>
    Effect.map(read(fs, path), (content) => Option.isSome(content) && content.value.includes(owner.token))

  const take = Effect.gen(function* () {
    const identity = yield* ProcessIdentity.current
    const token = (yield* Random.nextIntBetween(0, Number.MAX_SAFE_INTEGER)).toString(36)
    const owner: Owner = { ...identity, since: yield* DateTime.now, target, token }
    yield* attempt(owner, 3)
    return owner
  }).pipe(Effect.mapError((error) => (error._tag === "BackupError" ? error : fromPlatform(path)(error))))

  const release = (owner: Owner): Effect.Effect<void> =>
    isOwn(owner).pipe(
      Effect.flatMap((own) => (own ? fs.remove(path) : Effect.void)),
      Effect.catchAll((error) => Effect.logWarning("a lock file could not be removed", { path, error: error.message }))
    )

  return Effect.map(Effect.acquireRelease(take, release), (owner) => ({
    confirm: isOwn(owner).pipe(
      Effect.mapError(fromPlatform(path)),
      Effect.filterOrFail(
        (own) => own,
        () => alreadyRunning("another process, which took this one for dead", "Run it again when that has finished.")
      ),
      Effect.asVoid
    )
  }))
}
