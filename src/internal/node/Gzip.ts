/**
 * gzip and gunzip on Node's zlib, whose work is done in the thread pool.
 */
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { createGunzip, gzip } from "node:zlib"
import type { Gunzip } from "node:zlib"

export class GzipError extends Data.TaggedError("GzipError")<{
  readonly description: string
  readonly cause: unknown
}> {
  override get message(): string {
    return this.description
  }
}

const gzipError = (cause: unknown): GzipError =>
  new GzipError({ description: cause instanceof Error ? cause.message : String(cause), cause })

/**
 * One complete gzip member. A file of several members is a gzip file like any other (RFC 1952, 2.2), so blocks can be
 * compressed side by side and written one after the other.
 */
export const compress = (bytes: Uint8Array, level: number): Effect.Effect<Uint8Array, GzipError> =>
  Effect.async<Uint8Array, GzipError>((resume) => {
    gzip(bytes, { level, chunkSize: outputChunkBytes }, (error, compressed) =>
      resume(error === null ? Effect.succeed(compressed) : Effect.fail(gzipError(error)))
    )
  })

/** Large enough that a block compresses in few steps, small enough to hold several. */
const outputChunkBytes = 256 * 1024

/** Decompresses gzip members until the source ends; the source is read only as fast as the result is consumed. */
export const decompress = <E>(source: Stream.Stream<Uint8Array, E>): Stream.Stream<Uint8Array, E | GzipError> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const engine = yield* acquireGunzip
      const sourceFailed = yield* Deferred.make<never, E>()
      yield* feed(source, engine, sourceFailed)
      return Stream.repeatEffectOption(next(engine, sourceFailed))
    })
  )

const acquireGunzip: Effect.Effect<Gunzip, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => {
    const engine = createGunzip({ chunkSize: outputChunkBytes })
    // `next` reports it; without a listener Node would end the process.
    engine.on("error", () => {})
    return engine
  }),
  (engine) => Effect.sync(() => engine.destroy())
)

/** Writes the source into the engine from a fiber of its own. A source that fails takes the engine down with it. */
const feed = <E>(
  source: Stream.Stream<Uint8Array, E>,
  engine: Gunzip,
  sourceFailed: Deferred.Deferred<never, E>
): Effect.Effect<void, never, Scope.Scope> => {
  const write = (bytes: Uint8Array): Effect.Effect<void> =>
    Effect.async<void>((resume) => {
      engine.write(bytes, () => resume(Effect.void))
    })
  return Stream.runForEach(source, write).pipe(
    Effect.zipRight(Effect.sync(() => engine.end())),
    Effect.catchAllCause((cause) =>
      Deferred.failCause(sourceFailed, cause).pipe(Effect.zipRight(Effect.sync(() => engine.destroy())))
    ),
    Effect.forkScoped,
    Effect.asVoid
  )
}

/** The next piece of output, or the end (`none`). */
const next = <E>(
  engine: Gunzip,
  sourceFailed: Deferred.Deferred<never, E>
): Effect.Effect<Uint8Array, Option.Option<E | GzipError>> => {
  const failed = Effect.gen(function* () {
    const failure = yield* Deferred.poll(sourceFailed)
    if (Option.isSome(failure)) return yield* Effect.mapError(failure.value, Option.some)
    return yield* Effect.fail(Option.some(gzipError(engine.errored)))
  })
  return Effect.async<Uint8Array, Option.Option<E | GzipError>>((resume) => {
    const attempt = () => {
      const chunk: Buffer | null = engine.destroyed ? null : engine.read()
      if (chunk !== null) return settle(Effect.succeed(chunk))
      if (engine.readableEnded) return settle(Effect.fail(Option.none()))
      if (engine.destroyed) return settle(failed)
    }
    const settle = (result: Effect.Effect<Uint8Array, Option.Option<E | GzipError>>) => {
      stop()
      resume(result)
    }
    const stop = () => {
      for (const event of events) engine.off(event, attempt)
    }
    const events = ["readable", "end", "error", "close"] as const
    for (const event of events) engine.on(event, attempt)
    attempt()
    return Effect.sync(stop)
  })
}
