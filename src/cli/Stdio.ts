/**
 * The three streams of the process. Writing to a stream that nobody reads any more (`| head`) is not an error: it is
 * noticed once, and later writes do nothing.
 */
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { standardError, standardInput, standardOutput } from "../internal/node/standardStreams.ts"

/** A stream that text is written to. */
export interface Channel {
  /** Ends when the text has been handed to the system. */
  readonly write: (text: string) => Effect.Effect<void>
  /** The same for callers that cannot wait, such as a logger. */
  readonly unsafeWrite: (text: string) => void
  /** Ends when nobody reads any more. */
  readonly closed: Effect.Effect<void>
  readonly isTerminal: boolean
  /** The width of the terminal, else 0. */
  readonly columns: Effect.Effect<number>
}

/**
 * @since 0.1.0
 * @category tags
 */
export class Stdio extends Context.Tag("plinth/cli/Stdio")<
  Stdio,
  {
    readonly stdin: {
      readonly text: Stream.Stream<string>
      readonly lines: Stream.Stream<string>
      /** Keys as they are pressed on a terminal, or characters as they come. Ctrl-C is one of them there. */
      readonly keys: Stream.Stream<string>
      readonly isTerminal: boolean
    }
    readonly stdout: Channel
    readonly stderr: Channel
  }
>() {}

/**
 * The streams of this process.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Stdio> = Layer.scoped(
  Stdio,
  Effect.gen(function* () {
    const stdout = yield* channel(standardOutput())
    const stderr = yield* channel(standardError())
    return { stdin: { text, lines, keys, isTerminal: standardInput().isTTY === true }, stdout, stderr }
  })
)

const channel = (stream: NodeJS.WriteStream): Effect.Effect<Channel, never, Scope.Scope> =>
  Effect.gen(function* () {
    const closed = yield* Deferred.make<void>()
    // Without a listener the EPIPE of a closed pipe is an uncaught exception.
    const onError = () => Deferred.unsafeDone(closed, Effect.void)
    yield* Effect.acquireRelease(
      Effect.sync(() => stream.on("error", onError)),
      () => Effect.sync(() => stream.off("error", onError))
    )
    const write = (text: string) =>
      Effect.flatMap(Deferred.isDone(closed), (isClosed) =>
        isClosed || text === ""
          ? Effect.void
          : Effect.async<void>((resume) => {
              stream.write(text, (error) => {
                if (error !== null && error !== undefined) Deferred.unsafeDone(closed, Effect.void)
                resume(Effect.void)
              })
            })
      )
    return {
      write,
      unsafeWrite: (text) => {
        stream.write(text)
      },
      closed: Deferred.await(closed),
      isTerminal: stream.isTTY === true,
      columns: Effect.sync(() => (stream.isTTY ? stream.columns : 0))
    }
  })

const input = Stream.orDie(NodeStream.fromReadable<unknown, Uint8Array>(standardInput, (cause) => cause))

const text: Stream.Stream<string> = Stream.decodeText(input)

const lines: Stream.Stream<string> = Stream.splitLines(text)

const setRawMode = (isRaw: boolean): Effect.Effect<void> =>
  Effect.sync(() => {
    const stdin = standardInput()
    if (stdin.isTTY) stdin.setRawMode(isRaw)
  })

const keys: Stream.Stream<string> = Stream.unwrapScoped(
  Effect.as(
    Effect.acquireRelease(setRawMode(true), () => setRawMode(false)),
    Stream.mapConcat(text, (chunk) => [...chunk])
  )
)
